"""Linux's permission to use tile registers (AMX), which a process must ask for once before it touches them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import lru_cache

from nascompiler.backends.errors import DeviceError

_ARCH_PRCTL = 158
_REQUEST_PERMISSION = 0x1023
_TILE_DATA = 18


def permit_tiles(features: Iterable[str]) -> None:
    """Ask for the process, its threads to come included, if `features`, which code needs, have tile registers.

    Raises DeviceError when Linux refuses.
    """
    if "amx_tile" in features:
        _ask()


@lru_cache(maxsize=1)
def _ask() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) != 0:
        raise DeviceError(
            f"Linux does not permit tile registers (arch_prctl error {ctypes.get_errno()}); compile for "
            "cpu{isa=avx512_vnni}"
        )
