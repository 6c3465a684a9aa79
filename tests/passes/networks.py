"""Random networks as exporters write them, the same for the same seed: NHWC, or NCHW as after the import of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Builder, Graph, Value

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def scalar(builder: Builder, number: float) -> Value:
    return builder.constant(np.float32(number))


def _shifted(b: Builder, x: Value) -> Value:
    return b.nn.add(x, scalar(b, 3))


def _clipped(b: Builder, x: Value) -> Value:
    return b.nn.clip(_shifted(b, x), min=0, max=6)


HARD_SIGMOIDS: dict[str, Callable[[Builder, Value], Value]] = {
    "clip / 6": lambda b, x: b.nn.div(_clipped(b, x), scalar(b, 6)),
    "relu6 / 6": lambda b, x: b.nn.div(b.nn.relu6(_shifted(b, x)), scalar(b, 6)),
    "clip * (1/6)": lambda b, x: b.nn.mul(_clipped(b, x), scalar(b, 1 / 6)),
    "(1/6) * relu6": lambda b, x: b.nn.mul(scalar(b, 1 / 6), b.nn.relu6(b.nn.add(scalar(b, 3), x))),
    "clip((x + 3) / 6)": lambda b, x: b.nn.clip(b.nn.div(_shifted(b, x), scalar(b, 6)), min=0, max=1),
    "clip(x / 6 + 1/2)": lambda b, x: b.nn.clip(b.nn.add(b.nn.mul(x, scalar(b, 1 / 6)), scalar(b, 0.5)), min=0, max=1),
    "clip(x / 6 - -1/2)": lambda b, x: b.nn.clip(b.nn.sub(b.nn.div(x, scalar(b, 6)), scalar(b, -0.5)), min=0, max=1),
    "min(max)": lambda b, x: b.nn.div(
        b.nn.minimum(b.nn.maximum(_shifted(b, x), scalar(b, 0)), scalar(b, 6)), scalar(b, 6)
    ),
    "min(relu)": lambda b, x: b.nn.mul(b.nn.minimum(b.nn.relu(_shifted(b, x)), scalar(b, 6)), scalar(b, 1 / 6)),
    "clip(-3, 3) / 6 + 1/2": lambda b, x: b.nn.add(b.nn.div(b.nn.clip(x, min=-3, max=3), scalar(b, 6)), scalar(b, 0.5)),
    "1 - clip((3 - x) / 6)": lambda b, x: b.nn.sub(
        scalar(b, 1), b.nn.clip(b.nn.div(b.nn.sub(scalar(b, 3), x), scalar(b, 6)), min=0, max=1)
    ),
}
"""MobileNetV3's hard_sigmoid in the small ops of exporters."""

HARD_SWISHES: dict[str, Callable[[Builder, Value], Value]] = {
    "whole": lambda b, x: b.nn.mul(x, b.nn.hard_sigmoid(x)),
    "rounded whole": lambda b, x: b.nn.mul(b.nn.hard_sigmoid(x, alpha=float(np.float32(1 / 6)), beta=0.5), x),
    "(x * clip) / 6": lambda b, x: b.nn.div(b.nn.mul(x, _clipped(b, x)), scalar(b, 6)),
    "(clip * x) * (1/6)": lambda b, x: b.nn.mul(b.nn.mul(_clipped(b, x), x), scalar(b, 1 / 6)),
    "(x / 6) * clip": lambda b, x: b.nn.mul(b.nn.div(x, scalar(b, 6)), _clipped(b, x)),
    "clip * (x * (1/6))": lambda b, x: b.nn.mul(_clipped(b, x), b.nn.mul(scalar(b, 1 / 6), x)),
    **{
        f"x * ({name})": lambda b, x, gate=gate: b.nn.mul(x, gate(b, x))  # type: ignore[misc]
        for name, gate in HARD_SIGMOIDS.items()
    },
}
SWISHES: dict[str, Callable[[Builder, Value], Value]] = {
    "x * sigmoid": lambda b, x: b.nn.mul(x, b.nn.sigmoid(x)),
    "sigmoid(1 x) * x": lambda b, x: b.nn.mul(b.nn.sigmoid(b.nn.mul(x, scalar(b, 1))), x),
    "x * 1 / (1 + exp(-x))": lambda b, x: b.nn.mul(
        x, b.nn.div(scalar(b, 1), b.nn.add(scalar(b, 1), b.nn.exp(b.nn.neg(x))))
    ),
    "x * reciprocal(exp(-x) + 1)": lambda b, x: b.nn.mul(
        x, b.nn.reciprocal(b.nn.add(b.nn.exp(b.nn.neg(x)), scalar(b, 1)))
    ),
}


class Writer:
    """Builds layers with random weights, in NHWC, or in NCHW with a transpose around each image op."""

    def __init__(self, seed: int, *, channels_first: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.channels_first = channels_first
        self.builder = Builder()

    def choose(self, *options: Any) -> Any:
        return options[self.random.integers(len(options))]

    def weights(self, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def input(self, height: int, width: int, channels: int, name: str = "x") -> Value:
        shape = (1, channels, height, width) if self.channels_first else (1, height, width, channels)
        return self.builder.input(name, shape)

    @property
    def axis(self) -> int:
        return 1 if self.channels_first else 3

    @property
    def image_axes(self) -> tuple[int, int]:
        return (2, 3) if self.channels_first else (1, 2)

    def channels(self, x: Value) -> int:
        return x.type.static_shape[self.axis]

    def for_channels(self, values: NDArray[np.float32]) -> Value:
        """A constant that broadcasts along the channels, its values given as [C]."""
        forms = [(-1, 1, 1), (1, -1, 1, 1)] if self.channels_first else [(-1,), (1, 1, 1, -1)]
        return self.builder.constant(values.reshape(self.choose(*forms)))

    def image_op(self, op: str, x: Value, *operands: Value | None, **attributes: Any) -> Value:
        nn = self.builder.nn
        if not self.channels_first:
            return self.builder.op(op, x, *operands, **attributes)  # type: ignore[no-any-return]
        made = self.builder.op(op, nn.transpose(x, permutation=TO_NHWC), *operands, **attributes)
        return nn.transpose(made, permutation=TO_NCHW)  # type: ignore[no-any-return]

    def conv(self, x: Value, features: int, kernel: int = 1, stride: int = 1, groups: int = 1, **more: Any) -> Value:
        inputs = self.channels(x) // groups
        weight = self.weights(kernel, kernel, inputs, features, scale=(kernel * kernel * inputs) ** -0.5)
        bias = self.builder.constant(self.weights(features)) if self.choose(True, False) else None
        left = (kernel - 1) // 2
        padding = (left, left, kernel - 1 - left, kernel - 1 - left)
        options = {"strides": (stride, stride), "padding": padding, "groups": groups, **more}
        return self.image_op("nn.conv2d", x, self.builder.constant(weight), bias, **options)

    def conv_transpose(self, x: Value, features: int, groups: int = 1) -> Value:
        inputs = self.channels(x)
        weight = self.weights(2, 2, inputs, features // groups, scale=(inputs // groups) ** -0.5)
        bias = self.builder.constant(self.weights(features)) if self.choose(True, False) else None
        weight_value = self.builder.constant(weight)
        return self.image_op("nn.conv2d_transpose", x, weight_value, bias, strides=(2, 2), groups=groups)

    def batch_norm(self, x: Value) -> Value:
        channels = self.channels(x)
        scale, bias, mean = (self.weights(channels) for _ in range(3))
        variance = self.random.uniform(0.5, 2, channels).astype(np.float32)
        statistics = map(self.builder.constant, (scale + 1, bias, mean, variance))
        return self.builder.nn.batch_norm(x, *statistics, axis=self.axis)  # type: ignore[no-any-return]

    def scale_and_shift(self, x: Value) -> Value:
        """Arithmetic with constants for the channels or all of them."""
        op = self.choose("mul", "div", "add", "sub")
        numbers = self.random.uniform(0.5, 2, self.choose(1, self.channels(x))).astype(np.float32)
        return self.builder.op(f"nn.{op}", x, self.for_channels(numbers))  # type: ignore[no-any-return]

    def activation(self, x: Value) -> Value:
        nn = self.builder.nn
        plain = self.choose(nn.relu, nn.relu6, nn.sigmoid, nn.tanh, lambda x: nn.clip(x, min=0, max=6), lambda x: x)
        written = self.choose(*HARD_SWISHES.values(), *SWISHES.values())
        value: Value = plain(x) if self.choose(True, False) else written(self.builder, x)
        return value

    def squeeze_excite(self, x: Value, *, form: str = "conv", gate: str = "hard_sigmoid", squeezed: int = 4) -> Value:
        """In the forms of exporters: 1x1 convolutions, or linear layers between reshapes."""
        nn, channels = self.builder.nn, self.channels(x)
        mean = self.choose(True, False)
        pooled = nn.reduce_mean(x, axes=self.image_axes) if mean else self.image_op("nn.global_average_pool", x)
        if form == "conv":
            squeeze = self.conv(pooled, squeezed)
            excite = self.conv(nn.relu(squeeze), channels)
        else:
            flat = nn.flatten(pooled) if form == "flatten" else nn.reshape(pooled, shape=(1, channels))
            squeeze = nn.linear(flat, *map(self.builder.constant, (self.weights(channels, 4), self.weights(4))))
            hidden = nn.matmul(nn.relu(squeeze), self.builder.constant(self.weights(4, channels)))
            excite = nn.add(hidden, self.builder.constant(self.weights(channels)))
            shape = (1, channels, 1, 1) if self.channels_first else (1, 1, 1, channels)
            excite = nn.reshape(excite, shape=shape)
        gates = {
            "hard_sigmoid": lambda v: nn.hard_sigmoid(v, alpha=0.2, beta=0.5),
            "sigmoid": nn.sigmoid,
            "written out": lambda v: self.choose(*HARD_SIGMOIDS.values())(self.builder, v),
        }
        return nn.mul(x, gates[gate](excite))  # type: ignore[no-any-return]

    def block(self, x: Value) -> Value:
        """One random block of a network; the image may become smaller."""
        nn, channels = self.builder.nn, self.channels(x)
        kind = self.choose("conv", "residual", "squeeze", "concat", "pool", "arithmetic", "deconvolution")
        if kind == "conv":
            groups = self.choose(1, 1, 2 - channels % 2, channels)
            features = channels * self.choose(1, 2) if groups == channels else self.choose(4, 8, 12)
            x = self.conv(x, features, self.choose(1, 2, 3), self.choose(1, 1, 2), groups)
            return self.activation(self.batch_norm(x) if self.choose(True, False) else x)
        if kind == "residual":
            inner = self.activation(self.batch_norm(self.conv(x, 2 * channels)))
            inner = self.activation(self.batch_norm(self.conv(inner, 2 * channels, 3, groups=2 * channels)))
            return nn.add(x, self.batch_norm(self.conv(inner, channels)))  # type: ignore[no-any-return]
        if kind == "squeeze":
            form, gate = (
                self.choose("conv", "flatten", "reshape"),
                self.choose("hard_sigmoid", "sigmoid", "written out"),
            )
            return self.squeeze_excite(x, form=form, gate=gate)
        if kind == "concat":
            parts = nn.split(x, axis=self.axis, sizes=(channels // 2, channels - channels // 2))
            return nn.concat(self.activation(parts[0]), self.conv(parts[1], 4, 3), axis=self.axis)  # type: ignore[no-any-return]
        if kind == "pool" and min(x.type.static_shape[a] for a in self.image_axes) > 3:
            return self.image_op(self.choose("nn.max_pool2d", "nn.average_pool2d"), x, kernel=(2, 2), strides=(2, 2))
        if kind == "deconvolution":
            return self.activation(self.batch_norm(self.conv_transpose(x, 8, self.choose(1, 2 - channels % 2))))
        return self.conv(self.scale_and_shift(self.conv(self.batch_norm(self.scale_and_shift(x)), 8)), 8)

    def head(self, x: Value) -> Value:
        """Scores [1, 5], or the image itself."""
        nn, channels = self.builder.nn, self.channels(x)
        kind = self.choose("mean", "pool", "flatten", "image")
        if kind == "image":
            return x
        if kind == "mean":
            flat = nn.reduce_mean(x, axes=self.image_axes, keepdims=False)
        elif kind == "pool":
            flat = nn.reshape(self.image_op("nn.global_average_pool", x), shape=(1, channels))
        else:
            flat = nn.flatten(x)
        inputs = flat.type.static_shape[1]
        weight = self.builder.constant(self.weights(inputs, 5, scale=inputs**-0.5))
        return nn.softmax(nn.add(nn.matmul(flat, weight), self.builder.constant(self.weights(5))))  # type: ignore[no-any-return]


def random_network(seed: int, *, channels_first: bool, blocks: int = 5) -> Graph:
    """A chain of random blocks on an image of 8 x 10 with 4 channels, and a head."""
    writer = Writer(seed, channels_first=channels_first)
    x = writer.conv(writer.input(8, 10, 4), 8, 3)
    for _ in range(blocks):
        if x.type.size > 20_000:
            break
        x = writer.block(x)
    return writer.builder.outputs(y=writer.head(x))
