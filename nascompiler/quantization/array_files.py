"""Stacked samples in .npy and .npz files, read one by one: memory does not grow with the file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from nascompiler.ir import Array
from nascompiler.ir.errors import UsageError


@dataclass(frozen=True)
class StoredArray:
    """An array in a .npy file, or the member of that name in an .npz; nothing but its header was read."""

    path: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def label(self) -> str:
        """How errors name it."""
        return str(self.path) if self.member is None else f"{self.path}: {self.member!r}"

    def entries(self, chosen: Sequence[int]) -> Iterator[Array]:
        """The entries [...] along the first axis at ascending indices, each as an array of its own."""
        with _reading(self.label):
            if self.member is None:
                mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
                for index in chosen:
                    yield np.array(mapped[index])
            elif self.fortran_order:  # its entries do not lie one behind the other
                with np.load(self.path, allow_pickle=False) as archive:
                    whole = archive[self.member]
                for index in chosen:
                    yield np.array(whole[index])
            else:
                yield from self._streamed(self.member, chosen)

    def _streamed(self, member: str, chosen: Sequence[int]) -> Iterator[Array]:
        size = prod(self.shape[1:]) * self.dtype.itemsize
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{member}.npy") as file:
            _read_header(file)
            place = 0
            for index in chosen:
                while place < index:
                    _exactly(file, size)
                    place += 1
                place += 1
                yield np.frombuffer(_exactly(file, size), self.dtype).reshape(self.shape[1:])


def stored_array(path: Path) -> StoredArray:
    """The array in a .npy file. Raises UsageError when the file cannot be read, or holds Python objects."""
    with _reading(str(path)), path.open("rb") as file:
        return _described(path, None, file)


def stored_arrays(path: Path) -> dict[str, StoredArray]:
    """The arrays in an .npz file by name. Raises UsageError as `stored_array`."""
    with _reading(str(path)), zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.endswith(".npy")]
        found = {}
        for name in names:
            with archive.open(name) as file:
                member = name.removesuffix(".npy")
                found[member] = _described(path, member, file)
    if not found:
        raise UsageError(f"{path} holds no arrays")
    return found


def _described(path: Path, member: str | None, file: IO[bytes]) -> StoredArray:
    shape, fortran_order, dtype = _read_header(file)
    stored = StoredArray(path, member, shape, dtype, fortran_order)
    if dtype.hasobject:
        raise UsageError(f"{stored.label} holds Python objects, which are not read: save it as an array of numbers")
    if not shape:
        raise UsageError(f"{stored.label} is a single number; accepted: samples stacked along the first axis")
    if not shape[0]:
        raise UsageError(f"{stored.label} is {'x'.join(map(str, shape))}: it holds no samples")
    return stored


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file)
    if version == (2, 0):
        return npy.read_array_header_2_0(file)
    raise ValueError(f"version {version[0]}.{version[1]} of the format; accepted: 1.0 and 2.0")


def _exactly(file: IO[bytes], size: int) -> bytes:
    parts = file.read(size)
    if len(parts) < size:
        raise EOFError("the file ends too early")
    return parts


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"cannot read {what}: {said}") from None
