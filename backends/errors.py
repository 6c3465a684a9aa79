"""Errors of devices, of what they are reached through, and of results that miss their mark."""

from __future__ import annotations

from nascompiler.ir.errors import Error


class GateError(Error):
    """A result that is not good enough: accuracy, latency, agreement with a reference."""

    exit_code = 4


class DeviceError(Error):
    """A device, toolchain or artifact that cannot be used on this machine as it is."""

    exit_code = 5
