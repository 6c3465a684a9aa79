"""Where the numbers of a network stand: tensors in the Unified Buffer, and views of them.

A tensor is dense: image after image, in each pixel after pixel, the channels of a pixel one beside the other. Then
reshaping, splitting and joining channels are views, which cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from nascompiler.ir.types import DType, TensorType


@dataclass(frozen=True)
class Geometry:
    """A tensor as the machine sees it: so many images of height x width pixels with channels."""

    images: int
    height: int
    width: int
    channels: int

    @classmethod
    def of(cls, type: TensorType) -> Geometry:
        """Of rank 4 it is [N, H, W, C]; of any other, all but the last dimension count images of one pixel."""
        shape = type.static_shape
        if len(shape) == 4:
            return cls(*shape)
        return cls(prod(shape[:-1]), 1, 1, shape[-1] if shape else 1)

    @property
    def pixels(self) -> int:
        """Of one image."""
        return self.height * self.width


@dataclass(eq=False)
class Tensor:
    """Memory for as many images as are computed at a time. `image_bytes` is the size of one."""

    name: str
    images: int
    image_bytes: int

    def __repr__(self) -> str:
        return f"{self.name or '?'}[{self.images} x {self.image_bytes} B]"


@dataclass(frozen=True)
class View:
    """Some channels of the pixels of a tensor. `offset` is in bytes from the start of an image, `pitch` the bytes from
    a pixel to the next."""

    tensor: Tensor
    geometry: Geometry
    dtype: DType
    offset: int
    pitch: int

    @property
    def element(self) -> int:
        """Bytes of an element."""
        return self.dtype.bytes

    @property
    def is_dense(self) -> bool:
        """Whether the pixels of an image follow one another without gaps."""
        return self.geometry.pixels == 1 or self.pitch == self.geometry.channels * self.element

    @property
    def is_whole(self) -> bool:
        """Whether the view is all of its tensor."""
        size = self.geometry.pixels * self.geometry.channels * self.element
        return self.is_dense and size == self.tensor.image_bytes

    @classmethod
    def new(cls, name: str, type: TensorType) -> View:
        """A view of all of a new tensor."""
        geometry = Geometry.of(type)
        pitch = geometry.channels * type.dtype.bytes
        return cls(Tensor(name, geometry.images, geometry.pixels * pitch), geometry, type.dtype, 0, pitch)

    def slice(self, start: int, channels: int) -> View:
        """Some of its channels."""
        geometry = replace(self.geometry, channels=channels)
        return replace(self, geometry=geometry, offset=self.offset + start * self.element)

    def reshaped(self, type: TensorType) -> View | None:
        """The same memory in another shape; None where the elements of an image do not follow one another."""
        geometry = Geometry.of(type)
        if geometry == self.geometry:
            return self
        if not self.is_dense:
            return None
        if geometry.images != self.geometry.images:
            if not self.is_whole:
                return None
            # the images are cut or joined: only whole tensors can be seen so, and only where no batch is split
            if self.geometry.images * self.tensor.image_bytes % geometry.images:
                return None
        return replace(self, geometry=geometry, pitch=geometry.channels * self.element)
