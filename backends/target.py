"""Targets: versioned data files, selected by a string such as `cpu`, `cpu{threads=2}` or `arm:cortex-a72`."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from nascompiler.backends.cores import Core, core_names, find_core
from nascompiler.backends.devices.address import device_of
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import Host, detect_host
from nascompiler.ir.errors import UsageError, choices_text, unknown
from nascompiler.ir.verify import Legality

FORMAT = 1
"""Version of the data files this code reads."""

_TPU = "tpu:"
"""How the targets begin whose data are machines, see `nascompiler.backends.tpu.machine`."""

_SPELLING = re.compile(r"(?P<name>[\w-]+(?::[\w.-]+)?)(?:\{(?P<options>[^{}]*)\})?")


@dataclass(frozen=True)
class Isa:
    """An instruction set as kernels see it.

    A vector has `lanes` float32 values; a register tile may hold `accumulators` vectors. `fused_multiply_add` says that
    a * b + c is rounded once, `dots` what sums products of bytes in one instruction, best first ("amx", "vnni" on x86,
    "i8mm", "dotprod" on ARM; without any, products of 16-bit integers are summed). `processor` is LLVM's name of the
    processor to generate code for, `features` what it needs, spelled as in /proc/cpuinfo, `attributes` what LLVM is
    told besides: features of its own to use or, with a minus, not to use.
    """

    name: str
    architecture: str
    lanes: int
    accumulators: int
    processor: str
    features: frozenset[str]
    fused_multiply_add: bool = True
    dots: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Everything that code depends on, the same in every process."""
        facts = [self.name, self.architecture, self.lanes, self.accumulators, self.processor, self.fused_multiply_add]
        facts += [self.dots, sorted(self.features)]
        return json.dumps([*facts, self.attributes] if self.attributes else facts)


@dataclass(frozen=True)
class Target:
    """What to compile for: a data file with the options of the target string filled in.

    `host` are the facts about the processor that code is for; `core` is set when it is not this machine's.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    legality: Legality
    isa: Isa
    host: Host
    core: Core | None = None

    @property
    def threads(self) -> int:
        """Threads a compiled program uses unless told otherwise when it is loaded."""
        return int(self.options["threads"])

    @property
    def fingerprint(self) -> str:
        """A short hash of everything that generated code depends on; the number of threads is not part of it."""
        caches = [self.host.l1_data_bytes, self.host.l2_bytes]
        facts = [self.kind, self.isa.text, caches, *([self.core.name] if self.core else [])]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    @property
    def is_emulated(self) -> bool:
        """Whether code for it runs in an emulator: then times are estimates."""
        return self.core is not None and device_of(str(self.options["device"])).is_emulated

    @property
    def timing_fingerprint(self) -> str:
        """A short hash of everything that times depend on: of estimates, the model of the core and what makes them."""
        if self.core is None or not self.is_emulated:
            return self.fingerprint
        from nascompiler.backends.arm.estimate.tools import estimator_hash

        core = replace(self.core, file="", description="", model=replace(self.core.model, origin=""))
        facts = [self.fingerprint, repr(core), estimator_hash()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        options = ",".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.name}{{{options}}}"


def target_names() -> list[str]:
    """The names of all targets there are."""
    from nascompiler.backends.tpu.machine import machine_names

    names = [name for name, data in _data_files().items() if not data.get("is_family")]
    families = [name for name, data in _data_files().items() if data.get("is_family")]
    cores = [f"{family}:{core}" for family in families for core in core_names(family)]
    return sorted([*names, *cores, *machine_names()])


def describe(name: str) -> Mapping[str, Any]:
    """The contents of a target's data file, with its core where it has one; raises UsageError when there is none."""
    known = _data_files()
    if name.startswith(_TPU):
        return _machine_data(name)
    family, colon, core = name.partition(":")
    if not known.get(family, {}).get("is_family") or not colon:
        if name not in known or known[name].get("is_family"):
            raise unknown("target", name, target_names())
        return known[name]
    found = find_core(family, core)
    return {**known[family], "name": name, "description": found.description, "core": found}


def _machine_data(name: str) -> Mapping[str, Any]:
    """The data of a TPU in the form of a target's: what it is, and options with their defaults."""
    from nascompiler.backends.tpu.machine import describe_machine, option_names

    data = describe_machine(name)
    options = {option: {"default": data["machine"][option]} for option in option_names() if option in data["machine"]}
    return {**data, "kind": "tpu", "options": options}


def parse_target(text: str | Target, *, host: Host | None = None) -> Target:
    """The target that a string such as `cpu{threads=2}` selects.

    `host` replaces the facts about this machine where the code is for it. Raises UsageError, listing what there is,
    for text that cannot be read or names no target, option or value, and DeviceError for an instruction set that the
    processor lacks.
    """
    if isinstance(text, Target):
        return text
    if text.strip().startswith(_TPU):
        from nascompiler.backends.tpu.target import parse_tpu

        return parse_tpu(text, parse_target("cpu", host=host))
    match = _SPELLING.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"cannot read target {text!r}; accepted: NAME or NAME{{option=value,...}}")
    data = describe(match["name"])
    options = _options(text, data.get("options", {}), match["options"] or "")
    core: Core | None = data.get("core")
    host = core.host if core else host or detect_host()
    legal = data["legal"]
    return Target(
        name=data["name"],
        kind=data["kind"],
        options=options,
        legality=Legality(
            dialects=frozenset(legal["dialects"]),
            ops=frozenset(legal.get("ops", ())),
            forbidden=frozenset(legal.get("forbidden", ())),
            static=True,
            closed=True,
        ),
        isa=_choose_isa(str(options.get("isa", "auto")), data["isa"], host, core),
        host=host,
        core=core,
    )


def _options(text: str, declared: Mapping[str, Mapping[str, Any]], given: str) -> dict[str, Any]:
    options = {name: entry["default"] for name, entry in declared.items()}
    for item in filter(None, (part.strip() for part in given.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if name not in declared:
            raise unknown("target option", name, declared)
        if not equals or not value:
            raise UsageError(f"target {text!r}: option {name} has no value; write {name}=VALUE")
        options[name] = _value(name, value, declared[name])
    return options


def _value(name: str, value: str, declared: Mapping[str, Any]) -> Any:
    if not isinstance(declared["default"], int):
        return value
    minimum = declared.get("minimum")
    if not re.fullmatch(r"-?\d+", value) or (minimum is not None and int(value) < minimum):
        at_least = "" if minimum is None else f" >= {minimum}"
        raise UsageError(f"target option {name} is {value!r}; accepted: an integer{at_least}")
    return int(value)


def _choose_isa(wanted: str, declared: Iterable[Mapping[str, Any]], host: Host, core: Core | None) -> Isa:
    declared = list(declared)
    if wanted != "auto" and wanted not in (d["name"] for d in declared):
        raise unknown("instruction set", wanted, ["auto", *(d["name"] for d in declared)])
    for data in declared:
        needed = frozenset(data["requires"])
        if wanted not in ("auto", data["name"]):
            continue
        if data["architecture"] != host.architecture or not needed <= host.features:
            continue
        own: list[Mapping[str, Any]] = [{"name": core.processor, "requires": []}] if core else data["processors"]
        for processor in own:
            extra = frozenset(processor["requires"])
            if extra <= host.features:
                return Isa(
                    name=data["name"],
                    architecture=data["architecture"],
                    lanes=data["lanes"],
                    accumulators=data["accumulators"],
                    processor=processor["name"],
                    features=needed | extra,
                    fused_multiply_add=data["fused_multiply_add"],
                    dots=tuple(data.get("dots", ())),
                    attributes=(*data.get("attributes", ()), *processor.get("attributes", ())),
                )
    names = choices_text(d["name"] for d in declared)
    asked = "any instruction set we know" if wanted == "auto" else wanted
    machine = f"{core.family}:{core.name}" if core else f"this machine ({host.model}, {host.architecture})"
    raise DeviceError(f"{machine} lacks {asked}; targets know {names}")


@lru_cache(maxsize=1)
def _data_files() -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for entry in files("nascompiler.backends.targets").iterdir():
        if PurePath(entry.name).suffix == ".toml":
            data = tomllib.loads(entry.read_text(encoding="utf-8"))
            if data.get("format") != FORMAT:
                raise UsageError(
                    f"target file {entry.name} has format {data.get('format')}; this version reads {FORMAT}"
                )
            found[data["name"]] = data
    return found
