"""Kernel, strides, dilation and padding of convolutions and pools, in two dimensions: (top, left, bottom, right)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nascompiler.ir.types import Dim
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.errors import Refusal, Unknown

Pair = tuple[int, int]
_LARGEST = 1 << 31


@dataclass(frozen=True)
class Window:
    """In one spatial dimension, the first entry of each pair is that of a height of 1."""

    kernel: Pair
    strides: Pair
    dilation: Pair
    padding: tuple[int, int, int, int]

    def with_padding(self, begin: Sequence[int], end: Sequence[int]) -> Window:
        return replace(self, padding=(*as_pair(begin, 0), *as_pair(end, 0)))

    def span(self, axis: int) -> int:
        """How many elements a window reaches over, dilation included."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1


def as_pair(values: Sequence[int], missing: int) -> Pair:
    """One or two values as (vertical, horizontal)."""
    return (missing, values[0]) if len(values) == 1 else (values[0], values[1])


def read_window(
    c: Conversion, kernel: tuple[int, ...], size: tuple[Dim, ...] | None, *, ignore_padding: bool = False
) -> Window:
    """The window of a node whose kernel is known, `size` being the spatial size of the input.

    Refuses attributes of the wrong length or sign, and SAME padding of a size that is not known and matters.
    """
    rank = len(kernel)
    strides = _listed(c, "strides", rank, 1, minimum=1)
    dilation = _listed(c, "dilations", rank, 1, minimum=1)
    pads = _listed(c, "pads", 2 * rank, 0, minimum=0)
    if any(not 1 <= k < _LARGEST for k in kernel):
        raise Refusal(f"kernel_shape {list(kernel)}; accepted: sizes from 1 to {_LARGEST - 1}")
    mode = c.text("auto_pad", "NOTSET")
    begin, end = pads[:rank], pads[rank:]
    if ignore_padding or mode == "VALID":
        begin = end = (0,) * rank
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        sizes = size or (None,) * rank
        both = [_same(k, s, d, n, mode) for k, s, d, n in zip(kernel, strides, dilation, sizes, strict=True)]
        begin, end = tuple(b for b, _ in both), tuple(e for _, e in both)
    elif mode != "NOTSET":
        raise Refusal(f"auto_pad={mode!r}; accepted: NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    window = Window(as_pair(kernel, 1), as_pair(strides, 1), as_pair(dilation, 1), (0, 0, 0, 0))
    return window.with_padding(begin, end)


def _listed(c: Conversion, name: str, length: int, default: int, *, minimum: int) -> tuple[int, ...]:
    values = c.integers(name)
    if values is None or (not values and default == 0):
        return (default,) * length
    if len(values) != length or any(not minimum <= v < _LARGEST for v in values):
        raise Refusal(f"{name} {list(values)}; accepted: {length} numbers from {minimum} to {_LARGEST - 1}")
    return values


def _same(kernel: int, stride: int, dilation: int, size: Dim, mode: str) -> Pair:
    """Padding that makes the output ceil(size / stride) long; the odd element goes to the end under SAME_UPPER."""
    span = dilation * (kernel - 1) + 1
    if stride == 1:
        total = span - 1
    elif isinstance(size, int):
        total = max((-(-size // stride) - 1) * stride + span - size, 0)
    else:
        raise Unknown(f"auto_pad={mode!r} with stride {stride} needs the size of its input: give the graph's shapes")
    smaller = total // 2
    return (smaller, total - smaller) if mode == "SAME_UPPER" else (total - smaller, smaller)
