"""What a shared library is for: its machine, and which optional instructions stand in its code."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nascompiler.backends.errors import DeviceError
from nascompiler.ir.types import Array

MACHINES: Mapping[int, str] = {3: "i686", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
"""ELF's numbers of architectures, as Linux calls them."""

_EXECUTABLE, _SYMBOLS, _FUNCTION_DATA = 4, 2, b"$d"
_HEADER, _SECTION, _SYMBOL = "<HHIQQQIHHHHHH", "<IIQQQQIIQQ", "<IBBHQQ"


@dataclass(frozen=True)
class _Pattern:
    """Instructions of a feature: those that, under a mask, are a value."""

    feature: str
    name: str
    mask: int
    value: int


# From the encodings of the Arm Architecture Reference Manual (DDI 0487), C4.1.
_PATTERNS = (
    _Pattern("asimddp", "sdot or udot", 0x9FE0FC00, 0x0E809400),
    _Pattern("asimddp", "sdot or udot by element", 0x9FC0F400, 0x0F80E000),
    _Pattern("i8mm", "smmla or ummla", 0xDFE0FC00, 0x4E80A400),
    _Pattern("i8mm", "usmmla", 0xFFE0FC00, 0x4E80AC00),
    _Pattern("i8mm", "usdot", 0xBFE0FC00, 0x0E809C00),
    _Pattern("asimdhp", "arithmetic of float16", 0x9F60C400, 0x0E400400),
    _Pattern("asimdhp", "fmla of float16 by element", 0xBFC0B400, 0x0F001000),
    _Pattern("sve", "SVE", 0x1E000000, 0x04000000),
)


def machine_of(path: Path) -> str:
    """The architecture of an ELF file; raises DeviceError for any other file."""
    return _File(path).machine


def instructions_of(path: Path) -> dict[str, str]:
    """By feature, as /proc/cpuinfo spells it, an instruction of it that stands in the code of a library for aarch64.

    It knows products of bytes, matrices of bytes, arithmetic of float16 and SVE.
    """
    found: dict[str, str] = {}
    for words in _File(path).code():
        for pattern in _PATTERNS:
            if pattern.feature not in found and bool(((words & pattern.mask) == pattern.value).any()):
                found[pattern.feature] = pattern.name
    return found


def check_library(path: Path, architecture: str, features: Collection[str]) -> None:
    """Raise DeviceError unless a library is for an architecture, and uses no more than its features as far as known."""
    machine = machine_of(path)
    if machine != architecture:
        raise DeviceError(f"{path.name} is for {machine}; it must be for {architecture}")
    if machine != "aarch64":
        return
    strange = {feature: name for feature, name in instructions_of(path).items() if feature not in features}
    if strange:
        named = ", ".join(f"{name} ({feature})" for feature, name in sorted(strange.items()))
        raise DeviceError(f"{path.name} has instructions that its target lacks: {named}")


@dataclass(frozen=True)
class _Section:
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


class _File:
    """A 64-bit little-endian ELF file."""

    def __init__(self, path: Path) -> None:
        try:
            self.content = path.read_bytes()
        except OSError as error:
            raise DeviceError(f"cannot read {path}: {error.strerror or error}") from None
        if self.content[:6] != b"\x7fELF\x02\x01" or len(self.content) < 64:
            raise DeviceError(f"{path.name} is no shared library for a 64-bit little-endian Linux")
        _, machine, _, _, _, self._sections_at, _, _, _, _, size, count, _ = struct.unpack_from(
            _HEADER, self.content, 16
        )
        self.machine = MACHINES.get(machine, f"machine {machine}")
        self._path, self._places = path, [self._sections_at + i * size for i in range(count)]

    def sections(self) -> list[_Section]:
        """All sections; raises DeviceError for a file that is cut off."""
        try:
            raw = [struct.unpack_from(_SECTION, self.content, place) for place in self._places]
        except struct.error:
            raise DeviceError(f"{self._path.name} is cut off") from None
        return [_Section(kind, flags, address, at, size, link) for _, kind, flags, address, at, size, link, *_ in raw]

    def code(self) -> Iterator[Array]:
        """The instruction words of each section of code, 0 where data stand in it."""
        sections = self.sections()
        marks = sorted(self._marks(sections))
        for number, section in enumerate(sections):
            if section.flags & _EXECUTABLE and section.kind == 1:
                content = self.content[section.offset : section.offset + section.size // 4 * 4]
                words = np.frombuffer(content, "<u4").copy()
                inside = [(address - section.address, data) for owner, address, data in marks if owner == number]
                ends = [*(start for start, _ in inside[1:]), section.size]
                for (start, is_data), end in zip(inside, ends, strict=False):
                    if is_data:
                        words[start // 4 : (end + 3) // 4] = 0
                yield words

    def _marks(self, sections: list[_Section]) -> Iterator[tuple[int, int, bool]]:
        """Where code and data begin, by the symbols $x and $d: number of the section, address, whether data do."""
        for section in sections:
            if section.kind != _SYMBOLS:
                continue
            names = sections[section.link].offset
            for at in range(section.offset, section.offset + section.size, struct.calcsize(_SYMBOL)):
                name, _, _, owner, value, _ = struct.unpack_from(_SYMBOL, self.content, at)
                start = self.content[names + name : names + name + 2]
                if start in (_FUNCTION_DATA, b"$x"):
                    yield owner, value, start == _FUNCTION_DATA
