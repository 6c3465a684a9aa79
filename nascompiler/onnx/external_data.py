"""Weights beside the model file, read by us and from nowhere but under the model's folder.

What has gone wrong elsewhere: `..`, absolute paths, symbolic links (CVE-2022-25882, CVE-2024-27318), hard links, and
offsets that nobody checked. Every component of a location is opened relative to its parent without following links, so
that nothing can be exchanged between a check and the reading.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from nascompiler.onnx.errors import OnnxError

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not make us wait


class ExternalData:
    """Reads the external tensors of one model; `folder` is None when the model came as bytes and has no folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._read: dict[tuple[str, int, int], bytes] = {}
        self._sizes: dict[str, int] = {}
        self._total = 0

    def read(self, what: str, entries: Mapping[str, str], expected: int) -> bytes:
        """The `expected` bytes of tensor `what`; `entries` are location, offset, length as the model gives them.

        Raises OnnxError for a location that leaves the folder, goes through a link or is no regular file, for an
        offset or length that does not fit, and when regions overlap so much that they exceed the files.
        """
        if self._folder is None:
            raise OnnxError(f"{what} lies in an external file, but the model was given as bytes: give its path")
        location = entries.get("location", "")
        offset = _number(what, "offset", entries.get("offset", "0"))
        length = _number(what, "length", entries["length"]) if "length" in entries else expected
        if length != expected:
            raise OnnxError(f"{what}: external length is {length} bytes; its type and dims need {expected}")
        region = (location, offset, length)
        if region not in self._read:
            self._read[region] = self._read_region(what, self._folder, location, offset, length)
            self._total += length
            if self._total > sum(self._sizes.values()):
                raise OnnxError(f"{what}: the external tensors overlap: together they are larger than their files")
        return self._read[region]

    def _read_region(self, what: str, folder: Path, location: str, offset: int, length: int) -> bytes:
        parts = location.split("/")
        if "\\" in location or "\0" in location or any(part in ("", "..") for part in parts) or ":" in parts[0]:
            raise OnnxError(
                f"{what}: external location {location!r} is refused: it must be a plain path under the model"
            )
        try:
            descriptor = _open_beneath(folder, [part for part in parts if part != "."])
        except OSError as error:
            reason = "it goes through a link or is no folder" if error.errno in _LINK_ERRORS else error.strerror
            raise OnnxError(f"{what}: external location {location!r} cannot be opened: {reason}") from None
        try:
            status = os.fstat(descriptor)
            self._check_file(what, location, status, offset + length)
            self._sizes[location] = status.st_size
            return _read_all(descriptor, offset, length)
        except MemoryError:
            raise OnnxError(f"{what}: its {length} bytes do not fit into memory") from None
        except OSError as error:
            raise OnnxError(f"{what}: external location {location!r} cannot be read: {error.strerror}") from None
        finally:
            os.close(descriptor)

    @staticmethod
    def _check_file(what: str, location: str, status: os.stat_result, end: int) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise OnnxError(f"{what}: external location {location!r} is not a regular file")
        if status.st_nlink != 1:
            raise OnnxError(f"{what}: external location {location!r} is refused: the file has other (hard) links")
        if end > status.st_size:
            raise OnnxError(f"{what}: {location!r} has {status.st_size} bytes; it would have to reach to {end}")


_LINK_ERRORS = (40, 20)  # ELOOP: a symbolic link where O_NOFOLLOW forbids it; ENOTDIR: O_DIRECTORY on a link


def _open_beneath(folder: Path, parts: list[str]) -> int:
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            child = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=parent)
            os.close(parent)
            parent = child
        return os.open(parts[-1] if parts else ".", _FLAGS, dir_fd=parent)
    finally:
        os.close(parent)


def _read_all(descriptor: int, offset: int, length: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        file.seek(offset)
        data = file.read(length)
    if len(data) != length:
        raise OSError(0, "it became shorter while it was read")
    return data


def _number(what: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise OnnxError(f"{what}: external {key} {text!r} is not a number of bytes")
    return int(text)
