"""Errors of devices and of what they are reached through."""

from __future__ import annotations

from nascompiler.ir.errors import Error


class DeviceError(Error):
    """A device, toolchain or artifact that cannot be used on this machine as it is."""

    exit_code = 5
