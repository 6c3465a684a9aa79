"""Machines as data: `tpu:v1`, `tpu:prime`, `tpu:edge`, `tpu:tiny`, and any of them with figures overridden."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from nascompiler.backends.tpu.isa.opcodes import DRAM_UNIT, EXTENSIONS
from nascompiler.ir.errors import UsageError, choices_text, unknown

FORMAT = 1
"""Version of the data files this code reads."""

UNLIMITED = 0
"""A bandwidth without a limit: transfers take no time."""

MAXIMUM_ARRAY = 512
"""Sums of 512 products of bytes are the longest that float32 holds exactly (255 * 128 * 512 < 2^24)."""

_SPELLING = re.compile(r"(?P<name>tpu:[\w.-]+)(?:\{(?P<options>[^{}]*)\})?")
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z/]*)")
_DECIMAL = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


@dataclass(frozen=True)
class Power:
    """Watts, from the paper's table 2: of a die, and of a server with `dies` of them."""

    idle_w: float
    busy_w: float
    thermal_design_w: float
    dies: int
    server_idle_w: float
    server_busy_w: float
    server_thermal_design_w: float


@dataclass(frozen=True)
class Machine:
    """A TPU. `array` is the side of the square systolic array; bandwidths are 0 where unlimited.

    `overlap` says whether a tile is shifted in behind the running one and follows it without a gap; without it each
    tile waits until the last sum of the one before has left the array. `assumed` says of the figures that no source
    states why they are what they are.
    """

    name: str
    array: int
    clock_hz: int
    weight_bandwidth_bytes_per_s: int
    host_bandwidth_bytes_per_s: int
    unified_buffer_bytes: int
    accumulators: int
    fifo_tiles: int
    weight_memory_bytes: int
    parameter_memory_bytes: int
    activation_latency_cycles: int
    overlap: bool
    extensions: frozenset[str]
    description: str = ""
    assumed: Mapping[str, str] | None = None
    power: Power | None = None
    options: str = ""

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise UsageError(f"no machine {self}: {'; '.join(faults)}")

    def __str__(self) -> str:
        return f"{self.name}{{{self.options}}}" if self.options else self.name

    @property
    def tile_bytes(self) -> int:
        """Bytes of a weight tile of 8 bits."""
        return self.array * self.array

    @property
    def weight_cycles_per_byte(self) -> Fraction:
        """Cycles that a byte of weight memory takes."""
        return _cycles_per_byte(self.clock_hz, self.weight_bandwidth_bytes_per_s)

    @property
    def host_cycles_per_byte(self) -> Fraction:
        """Cycles that a byte over PCIe takes: no less than the Unified Buffer's path of one row a cycle allows."""
        return max(_cycles_per_byte(self.clock_hz, self.host_bandwidth_bytes_per_s), Fraction(1, self.array))

    @property
    def peak_macs_per_s(self) -> int:
        """Multiply-adds of 8 bits a second."""
        return self.array * self.array * self.clock_hz

    def seconds(self, cycles: int) -> float:
        """Time that cycles take."""
        return cycles / self.clock_hz

    def with_options(self, **options: Any) -> Machine:
        """The machine with figures replaced, by the names of options (`clock`, `weight_bandwidth`, ...)."""
        text = ",".join(f"{name.replace('_', '-')}={value}" for name, value in options.items())
        return _overridden(self, text)


def machine_names() -> list[str]:
    """The names of the machines there are."""
    return sorted(_files())


def describe_machine(name: str) -> Mapping[str, Any]:
    """The data of a machine, those it takes from its base included; raises UsageError when there is none."""
    known = _files()
    if name not in known:
        raise unknown("TPU", name, known)
    data = known[name]
    if "base" not in data:
        return data
    base = describe_machine(data["base"])
    merged = {part: {**base.get(part, {}), **data.get(part, {})} for part in ("machine", "assumed", "power")}
    return {**base, **data, **merged}


def parse_machine(text: str | Machine) -> Machine:
    """The machine that a string such as `tpu:v1{clock=1050MHz,extensions=all}` selects.

    Raises UsageError for text that cannot be read, names and figures that do not exist, and geometry that no machine
    could have.
    """
    if isinstance(text, Machine):
        return text
    match = _SPELLING.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"cannot read target {text!r}; accepted: {choices_text(machine_names())}, with {{option=value}} behind"
        )
    data = describe_machine(match["name"])
    power = data.get("power")
    values = {_OPTIONS[name][0]: _OPTIONS[name][1](name, str(value)) for name, value in data["machine"].items()}
    machine = Machine(
        name=data["name"],
        description=data["description"],
        assumed=data.get("assumed"),
        power=Power(**{_POWER[name]: value for name, value in power.items()}) if power else None,
        **values,
    )
    return _overridden(machine, match["options"] or "")


def option_names() -> list[str]:
    """What a target string may override."""
    return list(_OPTIONS)


def _overridden(machine: Machine, text: str) -> Machine:
    values: dict[str, Any] = {}
    given = dict(part.split("=", 1) for part in machine.options.split(",")) if machine.options else {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if name not in _OPTIONS:
            raise unknown("option of a TPU", name, _OPTIONS)
        if not equals or not value:
            raise UsageError(f"target {machine.name}: option {name} has no value; write {name}=VALUE")
        field, read = _OPTIONS[name]
        values[field] = read(name, value)
        given[name] = value
    if not values:
        return machine
    return replace(machine, **values, options=",".join(f"{name}={value}" for name, value in given.items()))


def _faults(m: Machine) -> list[str]:
    row = m.array
    limits = [
        ("array", m.array, 2, MAXIMUM_ARRAY),
        ("clock", m.clock_hz, 1, 10**11),
        ("accumulators", m.accumulators, 1, 2**16),
        ("fifo", m.fifo_tiles, 1, 2**16),
        ("unified-buffer", m.unified_buffer_bytes, 2 * row, 2**32),
        ("weight-memory", m.weight_memory_bytes, m.tile_bytes, 2**32 * DRAM_UNIT),
        ("parameter-memory", m.parameter_memory_bytes, 8 * row, 2**32),
        ("activation-latency", m.activation_latency_cycles, 0, 10**6),
        ("weight-bandwidth", m.weight_bandwidth_bytes_per_s, 0, 10**15),
        ("host-bandwidth", m.host_bandwidth_bytes_per_s, 0, 10**15),
    ]
    return [
        f"{name} is {value}; it must be from {low} to {high}"
        for name, value, low, high in limits
        if not low <= value <= high
    ]


def _cycles_per_byte(clock_hz: int, bytes_per_s: int) -> Fraction:
    # Denominators are kept small enough for 64-bit counts of fractions of cycles.
    return Fraction(clock_hz, bytes_per_s).limit_denominator(1 << 24) if bytes_per_s else Fraction(0)


def _quantity(unit: str) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        match = _QUANTITY.fullmatch(text)
        prefix = match["unit"].removesuffix(unit) if match else None
        if match is None or prefix not in _DECIMAL:
            examples = {"Hz": "700MHz", "B/s": "34GB/s or unlimited", "B": "24MiB"}
            raise UsageError(f"option {name} is {text!r}; accepted: a quantity such as {examples[unit]}")
        return int(Fraction(match["number"]) * _DECIMAL[prefix])

    return read


def _bandwidth(name: str, text: str) -> int:
    if text == "unlimited":
        return UNLIMITED
    value = _quantity("B/s")(name, text)
    if value == 0:
        raise UsageError(f"option {name} is 0: nothing would ever arrive; accepted: more, or unlimited")
    return value


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"option {name} is {text!r}; accepted: a whole number")
    return int(text)


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise UsageError(f"option {name} is {text!r}; accepted: true or false")
    return text.lower() == "true"


def _extensions(name: str, text: str) -> frozenset[str]:
    if text in ("all", "none"):
        return frozenset(EXTENSIONS if text == "all" else ())
    parts = frozenset(text.split("+"))
    for part in sorted(parts - set(EXTENSIONS)):
        raise unknown("extension", part, ["all", "none", *EXTENSIONS])
    return parts


_OPTIONS: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "array": ("array", _whole),
    "clock": ("clock_hz", _quantity("Hz")),
    "weight-bandwidth": ("weight_bandwidth_bytes_per_s", _bandwidth),
    "host-bandwidth": ("host_bandwidth_bytes_per_s", _bandwidth),
    "unified-buffer": ("unified_buffer_bytes", _quantity("B")),
    "accumulators": ("accumulators", _whole),
    "fifo": ("fifo_tiles", _whole),
    "weight-memory": ("weight_memory_bytes", _quantity("B")),
    "parameter-memory": ("parameter_memory_bytes", _quantity("B")),
    "activation-latency": ("activation_latency_cycles", _whole),
    "overlap": ("overlap", _truth),
    "extensions": ("extensions", _extensions),
}
_POWER = {
    "idle": "idle_w",
    "busy": "busy_w",
    "thermal-design": "thermal_design_w",
    "dies": "dies",
    "server-idle": "server_idle_w",
    "server-busy": "server_busy_w",
    "server-thermal-design": "server_thermal_design_w",
}


@lru_cache(maxsize=1)
def _files() -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for entry in files("nascompiler.backends.targets.tpu").iterdir():
        if PurePath(entry.name).suffix == ".toml":
            data = tomllib.loads(entry.read_text(encoding="utf-8"))
            if data.get("format") != FORMAT:
                raise UsageError(f"machine file {entry.name} has format {data.get('format')}; this reads {FORMAT}")
            found[data["name"]] = data
    return found
