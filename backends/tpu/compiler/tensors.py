"""Where the numbers of a network stand: tensors in the Unified Buffer, and views of them.

A tensor is dense: image after image, in each pixel after pixel, the channels of a pixel one beside the other. Then
reshaping, splitting, slicing and joining channels are views, which cost nothing.
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
    """Some channels of some pixels of a tensor. `offset` is in bytes from the start of an image; strides are in bytes:
    from a pixel to the next in a row, from a row to the next, from an image to the next."""

    tensor: Tensor
    geometry: Geometry
    dtype: DType
    offset: int
    pixel_stride: int
    row_stride: int
    image_stride: int

    @property
    def element(self) -> int:
        """Bytes of an element."""
        return self.dtype.bytes

    @property
    def is_even(self) -> bool:
        """Whether all pixels of all images are equally far apart."""
        g = self.geometry
        rows = g.height == 1 or self.row_stride == g.width * self.pixel_stride
        if g.images == 1:
            return rows
        return rows and (g.pixels == 1 or self.image_stride == g.pixels * self.pixel_stride)

    @property
    def even_stride(self) -> int:
        """Bytes between pixels of a view that is even."""
        return self.pixel_stride if self.geometry.pixels > 1 else self.image_stride

    @property
    def is_dense(self) -> bool:
        """Whether the elements of an image follow one another without gaps."""
        g = self.geometry
        rows = g.height == 1 or self.row_stride == g.width * self.pixel_stride
        return rows and (g.pixels == 1 or self.pixel_stride == g.channels * self.element)

    @property
    def is_solid(self) -> bool:
        """Whether the elements of all images follow one another."""
        return self.is_even and self.even_stride == self.geometry.channels * self.element

    @property
    def is_whole(self) -> bool:
        """Whether the view is all of its tensor."""
        size = self.geometry.pixels * self.geometry.channels * self.element
        return self.is_dense and size == self.image_stride == self.tensor.image_bytes

    @classmethod
    def new(cls, name: str, type: TensorType) -> View:
        """A view of all of a new tensor."""
        g = Geometry.of(type)
        stride = g.channels * type.dtype.bytes
        tensor = Tensor(name, g.images, g.pixels * stride)
        return cls(tensor, g, type.dtype, 0, stride, g.width * stride, g.pixels * stride)

    def slice(self, start: int, channels: int) -> View:
        """Some of its channels."""
        geometry = replace(self.geometry, channels=channels)
        return replace(self, geometry=geometry, offset=self.offset + start * self.element)

    def crop(self, rows: range, columns: range) -> View:
        """Some of its rows and columns, at even distances."""
        return replace(
            self,
            geometry=replace(self.geometry, height=len(rows), width=len(columns)),
            offset=self.offset + rows.start * self.row_stride + columns.start * self.pixel_stride,
            row_stride=self.row_stride * rows.step,
            pixel_stride=self.pixel_stride * columns.step,
        )

    def reshaped(self, type: TensorType) -> View | None:
        """The same memory in another shape; None where the elements do not follow one another as that would need."""
        g = Geometry.of(type)
        if g == self.geometry:
            return self
        if not self.is_dense:
            return None
        stride = g.channels * self.element
        if g.images == self.geometry.images:
            return replace(self, geometry=g, pixel_stride=stride, row_stride=g.width * stride)
        if not self.is_whole:
            return None
        # images are cut or joined: such views keep the tensor from being computed a few images at a time
        rows = g.width * stride
        return replace(self, geometry=g, pixel_stride=stride, row_stride=rows, image_stride=g.height * rows)
