"""Quantities as users write them: `25ms`, `3M`."""

from __future__ import annotations

import re

from nascompiler.ir.errors import UsageError

_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
_COUNT = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_NUMBER = r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"


def parse_duration_ns(text: str) -> float:
    """`25ms` -> 25e6; raises UsageError without a unit, since ms and s have been taken for each other before."""
    match = re.fullmatch(rf"{_NUMBER}\s*(ns|us|µs|ms|s)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is no latency; accepted: a number above 0 and its unit (s, ms, us, ns), as 25ms")
    return float(match[1]) * _NS[match[2]]


def parse_count(text: str) -> float:
    """`3M` -> 3e6; raises UsageError."""
    match = re.fullmatch(rf"{_NUMBER}\s*([kKMG]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no count; accepted: a number, with k, M or G behind it if wanted, as 3M")
    return float(match[1]) * _COUNT[match[2]]


def duration_text(ns: float) -> str:
    """The shortest form that `parse_duration_ns` reads back."""
    for unit in ("s", "ms", "us"):
        if ns >= _NS[unit]:
            return f"{ns / _NS[unit]:g}{unit}"
    return f"{ns:g}ns"
