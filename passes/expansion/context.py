"""The context of an expansion: the nn graph as it grows, the family's conventions, names and weights.

Images are NHWC, convolution weights HWIO. Every primitive takes the `name` of its node inside the current scope.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from nascompiler.ir import Builder, Constant, Graph, ModelError, Value
from nascompiler.ir.builder import Dialect
from nascompiler.passes.expansion.families import Family
from nascompiler.passes.expansion.initialization import Weights

Size = int | tuple[int, int]
"""Of a window or stride: one number for height and width, or (height, width)."""

Padding = Literal["same", "valid"]


@dataclass
class Expansion:
    """What the expander of an arch op works with.

    `cells` are the cell definitions of the graph, `nn` the ops: `expansion.nn.add(a, b, name=expansion.named("add"))`.
    `applied` counts how often each cell has been applied so far, `total_applications` all that there will be.
    """

    builder: Builder
    family: Family
    weights: Weights
    cells: Mapping[str, Graph] = field(default_factory=dict)
    applied: Counter[str] = field(default_factory=Counter)
    total_applications: int = 0
    _scope: str = ""

    @property
    def nn(self) -> Dialect:
        return self.builder.nn

    # -- names

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names made inside start with `name`: `block3`, then `block3.1` when scopes nest."""
        outer, self._scope = self._scope, self.named(name)
        try:
            yield
        finally:
            self._scope = outer

    def named(self, name: str) -> str:
        """`name` inside the current scope."""
        return f"{self._scope}.{name}" if self._scope and name else self._scope or name

    def constant(self, constant: Constant, name: str) -> Value:
        return self.builder.constant(constant, name)

    # -- primitives

    def convolution(
        self,
        x: Value,
        filters: int,
        *,
        kernel: Size = 1,
        stride: Size = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: Padding = "same",
        bias: bool = False,
        gain: float = 2.0,
        name: str = "conv",
    ) -> Value:
        """x [N, H, W, C] -> [N, H', W', filters]; raises ModelError when no window fits or a size is not known."""
        name = self.named(name)
        window, strides = _pair(kernel), _pair(stride)
        per_group = channels_of(x) // groups
        inputs = window[0] * window[1] * per_group
        weight = self.weights.kernel(f"{name}.weight", (*window, per_group, filters), inputs, gain=gain)
        operands = [x, self.constant(weight, f"{name}.weight")]
        if bias:
            operands.append(self.constant(self.weights.bias(f"{name}.bias", filters), f"{name}.bias"))
        result: Value = self.nn.conv2d(
            *operands,
            name=name,
            strides=strides,
            padding=self.padding(x, kernel=window, stride=strides, dilation=dilation, padding=padding),
            dilation=(dilation, dilation),
            groups=groups,
        )
        return result

    def depthwise(
        self, x: Value, *, kernel: Size, stride: Size = 1, dilation: int = 1, name: str = "depthwise"
    ) -> Value:
        """One filter for each channel, `same` padding."""
        channels = channels_of(x)
        return self.convolution(
            x, channels, kernel=kernel, stride=stride, dilation=dilation, groups=channels, name=name
        )

    def batch_norm(self, x: Value, name: str = "batch_norm") -> Value:
        name = self.named(name)
        parts = zip(("scale", "bias", "mean", "variance"), self.weights.batch_norm(name, channels_of(x)), strict=True)
        statistics = [self.constant(constant, f"{name}.{part}") for part, constant in parts]
        result: Value = self.nn.batch_norm(x, *statistics, name=name, epsilon=self.family.epsilon)
        return result

    def activation(self, x: Value, kind: str, name: str = "") -> Value:
        """`kind` is one of the arch dialect's ACTIVATIONS; `none` gives x itself."""
        if kind == "none":
            return x
        result: Value = self.builder.op(f"nn.{kind}", x, name=self.named(name or kind))
        return result

    def conv_bn_activation(
        self,
        x: Value,
        filters: int,
        activation: str = "none",
        *,
        kernel: Size = 1,
        stride: Size = 1,
        dilation: int = 1,
        padding: Padding = "same",
        name: str = "conv",
    ) -> Value:
        """Convolution without bias, batch norm, activation."""
        y = self.convolution(
            x,
            filters,
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            padding=padding,
            gain=1.0 if activation == "none" else 2.0,
            name=name,
        )
        return self.activation(self.batch_norm(y, f"{name}.batch_norm"), activation, f"{name}.{activation}")

    def depthwise_bn_activation(
        self, x: Value, activation: str = "none", *, kernel: Size, stride: Size = 1, dilation: int = 1
    ) -> Value:
        """Depthwise convolution without bias, batch norm, activation."""
        y = self.depthwise(x, kernel=kernel, stride=stride, dilation=dilation)
        return self.activation(self.batch_norm(y, "depthwise.batch_norm"), activation, f"depthwise.{activation}")

    def linear(
        self, x: Value, units: int, activation: str = "none", *, centred: bool = False, name: str = "linear"
    ) -> Value:
        """x [..., K] -> [..., units], with bias; `centred` results are 0 on average."""
        full, inputs = self.named(name), channels_of(x)
        gain = 1.0 if activation in ("none", "sigmoid", "tanh") else 2.0
        weight = self.weights.kernel(f"{full}.weight", (inputs, units), inputs, gain=gain)
        bias = self.weights.centring_bias(full, units) if centred else self.weights.bias(f"{full}.bias", units)
        y: Value = self.nn.linear(
            x, self.constant(weight, f"{full}.weight"), self.constant(bias, f"{full}.bias"), name=full
        )
        return self.activation(y, activation, f"{name}.{activation}")

    def squeeze_excite(self, x: Value, squeezed: int, *, name: str = "squeeze_excite") -> Value:
        """x times the gates of its channels, computed through `squeezed` channels with biases (arXiv:1709.01507)."""
        full, channels = self.named(name), channels_of(x)
        constants = {
            "w1": self.weights.kernel(f"{full}.w1", (channels, squeezed), channels),
            "b1": self.weights.bias(f"{full}.b1", squeezed),
            "w2": self.weights.kernel(f"{full}.w2", (squeezed, channels), squeezed, gain=1.0),
            "b2": self.weights.bias(f"{full}.b2", channels),
        }
        operands = [self.constant(constant, f"{full}.{part}") for part, constant in constants.items()]
        result: Value = self.nn.squeeze_excite(x, *operands, name=full, activation="relu", gate=self.family.gate)
        return result

    # -- geometry

    def padding(
        self, x: Value, *, kernel: Size, stride: Size = 1, dilation: int = 1, padding: Padding = "same"
    ) -> tuple[int, int, int, int]:
        """Zeros at (top, left, bottom, right) of x [N, H, W, C].

        `same` gives ceil(H / stride) windows, the odd zero at the end (TensorFlow) or as many at either side as the
        family says.
        """
        if padding == "valid":
            return 0, 0, 0, 0
        sides = []
        for size, taps, step in zip(image_size(x), _pair(kernel), _pair(stride), strict=True):
            span = dilation * (taps - 1) + 1
            if self.family.padding == "symmetric":
                sides.append(((span - 1) // 2, span // 2))
            else:
                total = max((-(-size // step) - 1) * step + span - size, 0)
                sides.append((total // 2, total - total // 2))
        (top, bottom), (left, right) = sides
        return top, left, bottom, right


def channels_of(x: Value) -> int:
    """The last dimension; raises ModelError when it is not known."""
    channels = x.type.shape[-1] if x.type.shape else None
    if not isinstance(channels, int):
        raise ModelError(f"{x!r}: its channels are not known; give the inputs' shapes (fix-shapes, --shape)")
    return channels


def image_size(x: Value) -> tuple[int, int]:
    """(height, width) of x [N, H, W, C]; raises ModelError when x is no image or its size is not known."""
    shape = x.type.shape
    if shape is None or len(shape) != 4:
        raise ModelError(f"{x!r} is no image; expected [N, H, W, C]")
    height, width = shape[1:3]
    if not isinstance(height, int) or not isinstance(width, int):
        raise ModelError(f"{x!r}: its height and width are not known; give them (set-resolution, --resolution)")
    return height, width


def _pair(size: Size) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)
