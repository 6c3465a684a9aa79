"""What this machine is: processor, its features, cores and caches."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """Facts about a processor. Features are spelled as Linux spells them in /proc/cpuinfo; sizes are in bytes.

    Sizes that the machine does not tell are taken for the defaults, which are small for processors of today. `cores`
    are those this process may use.
    """

    architecture: str
    model: str
    features: frozenset[str]
    cores: int
    l1_data_bytes: int = 32 << 10
    l2_bytes: int = 1 << 20
    l3_bytes: int = 8 << 20


@lru_cache(maxsize=1)
def detect_host() -> Host:
    """The machine this process runs on."""
    fields = _cpuinfo(Path("/proc/cpuinfo"))
    caches = _caches(Path("/sys/devices/system/cpu/cpu0/cache"))
    return Host(
        architecture=platform.machine(),
        model=fields.get("model name") or fields.get("cpu part") or platform.processor() or "unknown",
        features=frozenset((fields.get("flags") or fields.get("features") or "").split()),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        l1_data_bytes=caches.get("1", Host.l1_data_bytes),
        l2_bytes=caches.get("2", Host.l2_bytes),
        l3_bytes=caches.get("3", Host.l3_bytes),
    )


def _cpuinfo(path: Path) -> dict[str, str]:
    """The fields of the first processor, keys in lower case."""
    fields: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return fields
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon:
            if fields:
                break
            continue
        fields[key.strip().lower()] = value.strip()
    return fields


def _caches(folder: Path) -> dict[str, int]:
    """Size in bytes of the data or unified cache of each level."""
    sizes: dict[str, int] = {}
    for index in sorted(folder.glob("index*")):
        try:
            kind = (index / "type").read_text().strip()
            level = (index / "level").read_text().strip()
            size = (index / "size").read_text().strip()
        except OSError:
            continue
        if kind != "Instruction":
            unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1:], 1)
            sizes[level] = int(size.rstrip("KMG")) * unit
    return sizes
