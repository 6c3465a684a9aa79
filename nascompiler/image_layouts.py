"""NCHW models onto NHWC ops: transposes around each op, none made twice, and none to undo one just made.

The pass `propagate-layout` cancels what is left of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from nascompiler.ir.graph import Value

TO_CHANNELS_LAST = (0, 2, 3, 1)
TO_CHANNELS_FIRST = (0, 3, 1, 2)


class ImageScope:
    """The layouts in which values of one model exist already."""

    def __init__(self) -> None:
        self.channels_last: dict[Value, Value] = {}
        """NCHW value -> the NHWC value it was transposed from or to."""
        self.images: dict[Value, Value] = {}
        """[N, C, W] value -> the same as [N, C, 1, W]."""


class ImageConversion(ABC):
    """The part of a conversion that deals with layouts."""

    _scope: ImageScope

    @abstractmethod
    def op(self, name: str, *operands: Value | None, **attributes: Any) -> Value:
        """Build a node of the nn dialect with one result; `name` without prefix."""

    @abstractmethod
    def transpose(self, value: Value, permutation: tuple[int, ...]) -> Value:
        """`value` with permuted dimensions; a constant is permuted here and now."""

    def channels_last(self, value: Value) -> Value:
        """The NHWC form of an NCHW value."""
        known = self._scope.channels_last
        if value not in known:
            known[value] = self.transpose(value, TO_CHANNELS_LAST)
        return known[value]

    def channels_first(self, value: Value) -> Value:
        """The NCHW form of an NHWC value; the way back costs nothing."""
        first = self.transpose(value, TO_CHANNELS_FIRST)
        self._scope.channels_last[first] = value
        return first

    def image(self, value: Value, spatial: int) -> Value:
        """[N, C, W] (spatial = 1) or [N, C, H, W] (2) as NHWC, H being 1 in the first case."""
        if spatial == 1:
            images = self._scope.images
            if value not in images:
                images[value] = self.op("unsqueeze", value, axes=(2,))
            value = images[value]
        return self.channels_last(value)

    def from_image(self, value: Value, spatial: int) -> Value:
        """The inverse of `image`."""
        first = self.channels_first(value)
        if spatial == 2:
            return first
        line = self.op("squeeze", first, axes=(2,))
        self._scope.images[line] = first
        return line
