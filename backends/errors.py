"""Errors of devices, of what they are reached through, and of results that miss their mark."""

from __future__ import annotations

from nascompiler.ir.errors import Error


class GateError(Error):
    """A result that is not good enough: accuracy, latency, agreement with a reference."""

    exit_code = 4


class DeviceError(Error):
    """A device, toolchain or artifact that cannot be used on this machine as it is."""

    exit_code = 5


class DeviceTimeOutError(DeviceError):
    """A device that did not answer in time: code that hangs, or a connection that does."""


class DeviceLostError(DeviceError):
    """A device that is not there, or not any more."""


class DeviceCrashError(DeviceError):
    """Code that has crashed on a device."""


class StoreError(Error):
    """A file of measurements that is damaged, of another version, or not to be read or written."""

    exit_code = 5


class TuningError(Error):
    """Tuning in which nothing could be measured."""

    exit_code = 6
