"""The conditions of a measurement: machine, clock, affinity, load; and what about them should worry the reader."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nascompiler.backends.host import detect_host

BUSY_LOAD = 0.5
"""Load average per core, of others, above which a measurement gets a warning."""


@dataclass(frozen=True)
class Environment:
    """What a latency was taken under; `governor` and frequency are None where the machine hides them."""

    cpu: str
    architecture: str
    cores: int
    affinity: tuple[int, ...]
    governor: str | None
    frequency_mhz: float | None
    load_average: tuple[float, float, float]
    platform: str
    versions: Mapping[str, str]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def environment(threads: int, cpus: Collection[int] = ()) -> Environment:
    """The conditions right now, for a measurement with so many threads, pinned to `cpus` if any."""
    host = detect_host()
    affinity = tuple(sorted(cpus)) or tuple(sorted(os.sched_getaffinity(0)))
    governor = _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    load = os.getloadavg()
    cores = os.cpu_count() or 1
    warnings = []
    if load[0] > BUSY_LOAD * cores:
        warnings.append(f"the machine is busy: load average {load[0]:.1f} on {cores} cores")
    if threads > len(affinity):
        warnings.append(f"{threads} threads on {len(affinity)} cores that may be used")
    if governor not in (None, "performance"):
        warnings.append(f"the frequency governor is {governor}, not performance")
    return Environment(
        cpu=host.model,
        architecture=host.architecture,
        cores=cores,
        affinity=affinity,
        governor=governor,
        frequency_mhz=_frequency(),
        load_average=load,
        platform=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        versions=_versions("nascompiler", "apache-tvm", "apache-tvm-ffi", "numpy"),
        warnings=tuple(warnings),
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _frequency() -> float | None:
    text = _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"))
    if text is not None and text.isdigit():
        return int(text) / 1000
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("cpu MHz"):
            return float(line.partition(":")[2])
    return None


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
