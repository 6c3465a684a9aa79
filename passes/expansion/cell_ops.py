"""The 13 operations of NASNet's cells (arXiv:1707.07012, section 3) and how shapes are matched, on NHWC images.

Order and details are those of the released code: ReLU, convolution, batch norm; separable convolutions twice in a row
with nothing between their halves; pools without ReLU. What NASNet-A does not use, that code lacks: convolutions of two
steps are two of ReLU, convolution, batch norm, and the dilated one has rate 2.
"""

from __future__ import annotations

from collections.abc import Callable

from nascompiler.ir import ModelError, Value
from nascompiler.ir.dialects.nn.indexing import END
from nascompiler.passes.expansion.context import Expansion, Size, channels_of, image_size
from nascompiler.passes.expansion.layers import pool

CellOp = Callable[[Expansion, Value, int, int], Value]
"""`op(expansion, x, filters, stride)`: x [N, H, W, C] -> [N, ceil(H / stride), ceil(W / stride), filters]."""


def relu_conv_bn(
    expansion: Expansion,
    x: Value,
    filters: int,
    *,
    kernel: Size = 1,
    stride: Size = 1,
    dilation: int = 1,
    name: str = "conv",
) -> Value:
    """ReLU, convolution without bias, batch norm."""
    x = expansion.activation(x, "relu", f"{name}.relu")
    y = expansion.convolution(x, filters, kernel=kernel, stride=stride, dilation=dilation, name=name)
    return expansion.batch_norm(y, f"{name}.batch_norm")


def identity(expansion: Expansion, x: Value, filters: int, stride: int) -> Value:
    """x itself; where stride or channels ask for more, ReLU, 1x1 convolution, batch norm."""
    if stride == 1 and channels_of(x) == filters:
        return x
    return relu_conv_bn(expansion, x, filters, stride=stride)


def separable(kernel: int) -> CellOp:
    """Twice: ReLU, depthwise (the first with the stride), 1x1 convolution, batch norm."""

    def expand(expansion: Expansion, x: Value, filters: int, stride: int) -> Value:
        for index in (1, 2):
            with expansion.scope(str(index)):
                x = expansion.activation(x, "relu")
                x = expansion.depthwise(x, kernel=kernel, stride=stride if index == 1 else 1)
                x = expansion.batch_norm(expansion.convolution(x, filters, gain=1.0, name="pointwise"))
        return x

    return expand


def convolution(kernel: int, *, dilation: int = 1) -> CellOp:
    """One convolution kernel x kernel."""

    def expand(expansion: Expansion, x: Value, filters: int, stride: int) -> Value:
        return relu_conv_bn(expansion, x, filters, kernel=kernel, stride=stride, dilation=dilation)

    return expand


def factorized(taps: int) -> CellOp:
    """A convolution 1 x taps and then one taps x 1, each with the stride along its own axis."""

    def expand(expansion: Expansion, x: Value, filters: int, stride: int) -> Value:
        x = relu_conv_bn(expansion, x, filters, kernel=(1, taps), stride=(1, stride), name="row")
        return relu_conv_bn(expansion, x, filters, kernel=(taps, 1), stride=(stride, 1), name="column")

    return expand


def pooling(kind: str, kernel: int) -> CellOp:
    """A pool whose padding does not count, then a 1x1 convolution and batch norm where the channels differ."""

    def expand(expansion: Expansion, x: Value, filters: int, stride: int) -> Value:
        y = pool(expansion, x, kind, kernel=kernel, stride=stride)
        return y if channels_of(y) == filters else expansion.conv_bn_activation(y, filters)

    return expand


CELL_OPS: dict[str, CellOp] = {
    "identity": identity,
    "conv1x3_3x1": factorized(3),
    "conv1x7_7x1": factorized(7),
    "dilated3": convolution(3, dilation=2),
    "average3": pooling("average", 3),
    "max3": pooling("max", 3),
    "max5": pooling("max", 5),
    "max7": pooling("max", 7),
    "conv1": convolution(1),
    "conv3": convolution(3),
    "separable3": separable(3),
    "separable5": separable(5),
    "separable7": separable(7),
}
"""How each of the arch dialect's CELL_OPS is written."""


def match_previous(expansion: Expansion, previous: Value, filters: int, size: tuple[int, int]) -> Value:
    """The cell's second input [N, H, W, C] as [N, *size, filters].

    A factorised reduction where the sizes differ, a 1x1 convolution where only channels do, each after a ReLU. Raises
    ModelError for an odd number of filters where they are to be halved, and for sizes that no reduction brings
    together.
    """
    if image_size(previous) != size:
        if filters % 2:
            raise ModelError(
                f"filters is {filters}; accepted: even numbers, since the factorised reduction of the previous output "
                "gives half of them to each branch"
            )
        return factorized_reduction(expansion, expansion.activation(previous, "relu"), filters, size)
    if channels_of(previous) != filters:
        return relu_conv_bn(expansion, previous, filters)
    return previous


def match_unused(expansion: Expansion, state: Value, filters: int, size: tuple[int, int]) -> Value:
    """An input of the cell that goes into its output directly, as [N, *size, filters]; without ReLU.

    An odd number of filters (the stem cells of 4 @ 1056 have 11) is halved as well as it goes.
    """
    if image_size(state) != size:
        return factorized_reduction(expansion, state, filters, size)
    return state if channels_of(state) == filters else expansion.conv_bn_activation(state, filters)


def factorized_reduction(expansion: Expansion, x: Value, filters: int, size: tuple[int, int]) -> Value:
    """x [N, H, W, C] -> [N, *size, filters], of half the size: no pixel is lost to the stride.

    One 1x1 convolution sees the pixels at even positions, another those at odd ones, where an odd height or width ends
    in zeros; batch norm over both. The released code takes the pixels by 1x1 average pools of stride 2.
    """
    height, width = image_size(x)
    if (-(-height // 2), -(-width // 2)) != size:
        raise ModelError(
            f"the previous output is {height}x{width}, the current one {size[0]}x{size[1]}; accepted: equal sizes, or "
            "twice the size"
        )
    if min(height, width) < 2:
        raise ModelError(f"an image of {height}x{width} is too small to be halved; use a higher resolution")
    even = expansion.convolution(x, filters - filters // 2, stride=2, name="even")
    bounds = {"axes": (1, 2), "starts": (1, 1), "ends": (END, END), "steps": (2, 2)}
    odd: Value = expansion.nn.slice(x, name=expansion.named("odd.pixels"), **bounds)
    if height % 2 or width % 2:
        after = (0, height % 2, width % 2, 0)
        odd = expansion.nn.pad(odd, name=expansion.named("odd.padded"), before=(0, 0, 0, 0), after=after)
    odd = expansion.convolution(odd, filters // 2, name="odd")
    both: Value = expansion.nn.concat(even, odd, axis=3, name=expansion.named("both"))
    return expansion.batch_norm(both)
