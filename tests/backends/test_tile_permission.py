"""Asking Linux for tile registers: not at all where code needs none, and a clear error where it says no."""

from __future__ import annotations

import ctypes

import pytest

from nascompiler.backends import tile_permission
from nascompiler.backends.errors import DeviceError


class _Libc:
    def __init__(self, answer: int) -> None:
        self.answer, self.asked = answer, []

    def syscall(self, *arguments: int) -> int:
        self.asked.append(arguments)
        return self.answer


def _permit(monkeypatch, answer, *features):
    libc = _Libc(answer)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    tile_permission._ask.cache_clear()
    try:
        tile_permission.permit_tiles(features)
        tile_permission.permit_tiles(features)
    finally:
        tile_permission._ask.cache_clear()
    return libc.asked


def test_it_asks_once_where_code_needs_tile_registers(monkeypatch):
    assert _permit(monkeypatch, 0, "avx512f", "amx_tile") == [(158, 0x1023, 18)]
    assert _permit(monkeypatch, 0, "avx512f") == []


def test_a_refusal_says_what_to_do(monkeypatch):
    with pytest.raises(DeviceError, match=r"does not permit tile registers .*cpu\{isa=avx512_vnni\}"):
        _permit(monkeypatch, -1, "amx_tile")
