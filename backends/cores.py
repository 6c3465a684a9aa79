"""Processor cores that code is compiled for without being there: data files of ours and of users."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import inf
from pathlib import Path, PurePath
from typing import Any

from nascompiler.backends.host import Host
from nascompiler.ir.errors import UsageError, choices_text, unknown

FORMAT = 1
"""Version of the data files this code reads."""

VARIABLE = "NASCOMPILER_TARGETS"
"""Folders of a user's data files, separated as in PATH."""

_ARCHITECTURES = {"arm": "aarch64"}
"""By family, what Linux calls the architecture."""


@dataclass(frozen=True)
class Cache:
    """A level of cache: its size and how many places a line can be at."""

    bytes: int
    ways: int


@dataclass(frozen=True)
class CoreModel:
    """What estimates of cycles stand on.

    `processor` is the pipeline that llvm-mca simulates, right from LLVM `since_llvm` on. Cycles are those that a line
    costs, from the second-level cache, the third (0 where there is none) or from memory, met at random or as part of a
    stream, and that a branch costs which was predicted wrongly. `origin` says where all that comes from.
    """

    processor: str
    since_llvm: int
    in_order: bool
    l2_random_cycles: float
    l2_stream_cycles: float
    l3_random_cycles: float
    l3_stream_cycles: float
    memory_random_cycles: float
    memory_stream_cycles: float
    mispredict_cycles: float
    origin: str


@dataclass(frozen=True)
class Emulator:
    """The processor that qemu is told to be; `exact` where it has the features of the core and no others."""

    cpu: str
    exact: bool


@dataclass(frozen=True)
class Core:
    """A kind of core: one homogeneous set of cores of a board or of a chip.

    `processor` is LLVM's name, `features` are spelled as in /proc/cpuinfo, `cpus` are the numbers of the cores of this
    kind where a board has several kinds; empty for all.
    """

    family: str
    name: str
    description: str
    processor: str
    features: tuple[str, ...]
    cores: int
    clock_hz: int
    line_bytes: int
    l1_data: Cache
    l2: Cache
    l3: Cache | None
    model: CoreModel
    emulator: Emulator
    cpus: tuple[int, ...]
    file: str

    @property
    def host(self) -> Host:
        """The same facts as those of the machine that a process runs on."""
        l3 = self.l3.bytes if self.l3 else 0
        features = frozenset(self.features)
        architecture = _ARCHITECTURES[self.family]
        return Host(architecture, self.name, features, self.cores, self.l1_data.bytes, self.l2.bytes, l3)


def core_names(family: str) -> list[str]:
    """The names of all cores of a family."""
    return sorted(_known(os.environ.get(VARIABLE))[family])


def find_core(family: str, name: str) -> Core:
    """A core by name; raises UsageError, listing what there is, for an unknown one, and for a file that is wrong."""
    known = _known(os.environ.get(VARIABLE))[family]
    if name not in known:
        raise unknown(f"{family} core", name, known)
    return _core(family, name, known)


def user_folders(given: str | None = None) -> list[Path]:
    """Where data files of users are looked for: the folders given, or the user's configuration."""
    if given:
        return [Path(folder) for folder in given.split(os.pathsep) if folder]
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [configuration / "nascompiler" / "targets"]


_Files = Mapping[str, tuple[str, Mapping[str, Any]]]
"""By name, the file of a core and what it says."""


@lru_cache(maxsize=8)
def _known(given: str | None) -> Mapping[str, _Files]:
    """The data files by family and name; `given` is the value of the variable."""
    found: dict[str, dict[str, tuple[str, Mapping[str, Any]]]] = {family: {} for family in _ARCHITECTURES}
    for file, text in _texts(given):
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"target file {file} cannot be read: {error}") from None
        family, name = data.get("family"), data.get("name")
        if data.get("format") != FORMAT:
            raise UsageError(f"target file {file} has format {data.get('format')!r}; this version reads {FORMAT}")
        if family not in found:
            raise UsageError(f"target file {file}: family is {family!r}; accepted: {choices_text(found)}")
        if not isinstance(name, str) or not name:
            raise UsageError(f"target file {file} has no name")
        if name in found[family]:
            raise UsageError(f"target file {file}: {family}:{name} is in {found[family][name][0]} already")
        found[family][name] = file, data
    return found


def _texts(given: str | None) -> Iterator[tuple[str, str]]:
    """Name and text of each data file: ours, then those of the user."""
    for family in _ARCHITECTURES:
        for entry in sorted(files(f"nascompiler.backends.targets.{family}").iterdir(), key=lambda e: e.name):
            if PurePath(entry.name).suffix == ".toml":
                yield entry.name, entry.read_text(encoding="utf-8")
    for folder in user_folders(given):
        if given and not folder.is_dir():
            raise UsageError(f"{VARIABLE} names {folder}, which is no folder")
        for path in sorted(folder.glob("*.toml")):
            try:
                yield str(path), path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"target file {path} cannot be read: {error}") from None


def _core(family: str, name: str, known: _Files) -> Core:
    file, data = known[name]
    data = _inherited(name, known)
    faults: list[str] = []
    extra = sorted(set(data) - _FIELDS)
    if extra:
        faults.append(f"unknown {', '.join(extra)} (accepted: {', '.join(sorted(_FIELDS))})")

    def read(table: Mapping[str, Any], field: str, accepts: Callable[[Any], bool], wanted: str, at: str = "") -> Any:
        value = table.get(field)
        if not accepts(value):
            faults.append(f"{at}{field} is {value!r}, which must be {wanted}")
        return value

    def cache(field: str, *, optional: bool = False) -> Cache | None:
        caches = data.get("caches", {})
        if optional and field not in caches:
            return None
        level = caches.get(field)
        level = level if isinstance(level, dict) else {}
        size, ways = (read(level, f, _is_positive, "a positive integer", f"caches.{field}.") for f in ("bytes", "ways"))
        return Cache(size, ways)

    def text(field: str, table: Mapping[str, Any] = data, at: str = "") -> Any:
        return read(table, field, lambda v: isinstance(v, str) and bool(v), "a text", at)

    model, emulator = (v if isinstance(v := data.get(t), dict) else {} for t in ("model", "emulator"))
    if "l3" not in data.get("caches", {}):
        model = {"l3_random_cycles": 0, "l3_stream_cycles": 0, **model}
    caches = v if isinstance(v := data.get("caches"), dict) else {}
    data = {**data, "caches": caches}
    features = read(data, "features", _are(str), "a list of texts")
    cpus = read({"cpus": data.get("cpus", [])}, "cpus", _are(int), "a list of numbers of CPUs")
    cycles = [f for f in CoreModel.__dataclass_fields__ if f.endswith("_cycles")]
    l1, l2, l3 = cache("l1_data"), cache("l2"), cache("l3", optional=True)
    fields: dict[str, Any] = {
        "family": family,
        "name": name,
        "file": file,
        "description": text("description"),
        "processor": text("processor"),
        "features": features,
        "cores": data.get("cores") if not cpus else len(cpus),
        "clock_hz": read(data, "clock_hz", _is_positive, "a positive integer"),
        "line_bytes": read(caches, "line_bytes", _is_positive, "a positive integer", "caches."),
        "l1_data": l1,
        "l2": l2,
        "l3": l3,
        "cpus": cpus,
        "emulator": Emulator(
            text("cpu", emulator, "emulator."), read(emulator, "exact", _is_bool, "true or false", "emulator.")
        ),
        "model": CoreModel(
            processor=text("processor", model, "model."),
            origin=str(text("origin", model, "model.")).strip(),
            since_llvm=read(model, "since_llvm", _is_positive, "a positive integer", "model."),
            in_order=read(model, "in_order", _is_bool, "true or false", "model."),
            **{f: read(model, f, _is_cycles, "a number of at least 0", "model.") for f in cycles},
        ),
    }
    read(fields, "cores", _is_positive, "a positive integer")
    if faults:
        raise UsageError(f"target file {file}: {'; '.join(faults)}")
    return Core(**{**fields, "features": tuple(features), "cpus": tuple(cpus)})


_FIELDS = {"format", "family", "name", "like", *Core.__dataclass_fields__, "caches"}
_FIELDS -= {"file", "line_bytes", "l1_data", "l2", "l3"}


def _inherited(name: str, known: _Files) -> Mapping[str, Any]:
    """What a file says, over what the core says that it is like; tables are joined field by field."""
    file, data = known[name]
    like = data.get("like")
    if like is None:
        return data
    if like not in known or "like" in known[like][1]:
        whole = [n for n, (_, other) in known.items() if "like" not in other]
        raise UsageError(f"target file {file}: like is {like!r}; accepted: {choices_text(sorted(whole))}")
    base = known[like][1]
    tables = {key: {**base[key], **value} for key, value in data.items() if isinstance(value, dict) and key in base}
    return {**base, **data, **tables}


def _is_positive(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_cycles(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < inf


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _are(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(type(item) is kind for item in value)
