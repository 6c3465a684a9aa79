"""Which device: `emulated`, `HOST:PORT`, `HOST:PORT/KEY` or `tracker:HOST:PORT/KEY`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from nascompiler.ir.errors import UsageError

EMULATED = "emulated"
VARIABLE = "NASCOMPILER_DEVICE"
"""The device of all ARM targets that name none."""

_REMOTE = re.compile(r"(?P<tracker>tracker:)?(?P<host>[\w.-]+):(?P<port>\d{1,5})(?:/(?P<key>[\w.:-]+))?")

ACCEPTED = "emulated, HOST:PORT, HOST:PORT/KEY or tracker:HOST:PORT/KEY"


@dataclass(frozen=True)
class Address:
    """A device: emulated when there is no host; else a server, or a tracker that knows servers with that key."""

    host: str = ""
    port: int = 0
    key: str = ""
    is_tracker: bool = False

    @property
    def is_emulated(self) -> bool:
        return not self.host

    def __str__(self) -> str:
        if self.is_emulated:
            return EMULATED
        tracker = "tracker:" if self.is_tracker else ""
        return f"{tracker}{self.host}:{self.port}{f'/{self.key}' if self.key else ''}"


def parse_address(text: str) -> Address:
    """The device that a text names; raises UsageError, with what is accepted, for any other text."""
    if text in ("", EMULATED):
        return Address()
    match = _REMOTE.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise UsageError(f"{text!r} names no device; accepted: {ACCEPTED}")
    if match["tracker"] and not match["key"]:
        raise UsageError(f"device {text!r}: a tracker is asked for a key: write {text}/KEY")
    return Address(match["host"], int(match["port"]), match["key"] or "", bool(match["tracker"]))


def device_of(option: str) -> Address:
    """What the `device` of a target means: where it is not said, the environment decides."""
    given = os.environ.get(VARIABLE, "")
    return parse_address(given if given and option in ("", EMULATED) else option)
