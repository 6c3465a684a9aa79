"""The constants of a core's model from measurements: what a miss or a wrong branch costs, the rest as it is.

Every constant is multiplied by a factor. The factors minimise the squared logarithms of estimated over measured times,
and of themselves with a small weight: what the measurements do not tell stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log

from nascompiler.backends.arm.estimate.cost import Events, price
from nascompiler.backends.cores import Core
from nascompiler.ir.errors import UsageError

CONSTANTS = (
    "l2_random_cycles",
    "l2_stream_cycles",
    "l3_random_cycles",
    "l3_stream_cycles",
    "memory_random_cycles",
    "memory_stream_cycles",
    "mispredict_cycles",
)

LARGEST_FACTOR = 8.0
"""Constants are at most so many times larger or smaller afterwards: more is a fault of the model, not of a constant."""

_STAY = 0.002
"""The weight of a factor's own squared logarithm."""

_SWEEPS = 12
_SEARCH_STEPS = 24


@dataclass(frozen=True)
class Sample:
    """A network that was measured: its calls by their events, with how often each is made, and its time."""

    name: str
    calls: tuple[tuple[Events, int], ...]
    measured_ns: float

    def estimated_ns(self, core: Core) -> float:
        """The sum of the calls on a core."""
        cycles = sum(count * price(events, core).total for events, count in self.calls)
        return cycles / core.clock_hz * 1e9


@dataclass(frozen=True)
class Residual:
    """A sample before and after calibration; `left_out_ns` is the estimate by constants that it had no part in."""

    name: str
    measured_ns: float
    before_ns: float
    after_ns: float
    left_out_ns: float


@dataclass(frozen=True)
class Calibration:
    """A core with calibrated constants, and how far off estimates are of what it was calibrated with."""

    core: Core
    residuals: tuple[Residual, ...]

    def mean_error(self, which: str) -> float:
        """The mean size of (estimated over measured, less 1), `which` being before, after or left_out."""
        errors: list[float] = [abs(getattr(r, f"{which}_ns") / r.measured_ns - 1) for r in self.residuals]
        return sum(errors) / len(errors)


def calibrate(core: Core, samples: Sequence[Sample]) -> Calibration:
    """Calibrate the constants of a core; raises UsageError for fewer than two samples."""
    if len(samples) < 2:
        raise UsageError(f"calibration needs two measurements or more, not {len(samples)}")
    fitted = _fitted(core, samples)
    residuals = []
    for place, sample in enumerate(samples):
        others = _fitted(core, [*samples[:place], *samples[place + 1 :]])
        times = (sample.estimated_ns(c) for c in (core, fitted, others))
        residuals.append(Residual(sample.name, sample.measured_ns, *times))
    return Calibration(fitted, tuple(residuals))


def _fitted(core: Core, samples: Sequence[Sample]) -> Core:
    constants = [name for name in CONSTANTS if getattr(core.model, name) > 0]
    factors = dict.fromkeys(constants, 0.0)

    def loss() -> float:
        made = _with_factors(core, factors)
        misses = sum(log(sample.estimated_ns(made) / sample.measured_ns) ** 2 for sample in samples) / len(samples)
        return misses + _STAY * sum(value**2 for value in factors.values())

    for _ in range(_SWEEPS):
        for name in constants:

            def of(value: float, name: str = name) -> float:
                factors[name] = value
                return loss()

            factors[name] = _minimum(of, -log(LARGEST_FACTOR), log(LARGEST_FACTOR))
    return _with_factors(core, factors)


def _with_factors(core: Core, logarithms: dict[str, float]) -> Core:
    made = {name: round(getattr(core.model, name) * exp(value), 2) for name, value in logarithms.items()}
    return replace(core, model=replace(core.model, **made))


def _minimum(of: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is least, by golden section."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = of(left), of(right)
    for _ in range(_SEARCH_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = of(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = of(right)
    return (low + high) / 2


def core_file(core: Core, name: str, origin: str) -> str:
    """The data file of a core under another name, to be put where targets of users are looked for."""
    model = core.model
    levels = [("l1_data", core.l1_data), ("l2", core.l2), *([("l3", core.l3)] if core.l3 else [])]
    lines = [
        f"# {name}: {core.name} with constants that `nascompiler device calibrate` has found.",
        "format = 1",
        f'family = "{core.family}"',
        f'name = "{name}"',
        f"description = {_text(core.description + ', calibrated')}",
        f'processor = "{core.processor}"',
        f"features = [{', '.join(map(_text, core.features))}]",
        f"cpus = [{', '.join(map(str, core.cpus))}]" if core.cpus else f"cores = {core.cores}",
        f"clock_hz = {core.clock_hz}",
        "",
        "[emulator]",
        f'cpu = "{core.emulator.cpu}"',
        f"exact = {str(core.emulator.exact).lower()}",
        "",
        "[caches]",
        f"line_bytes = {core.line_bytes}",
        *(f"{level} = {{ bytes = {cache.bytes}, ways = {cache.ways} }}" for level, cache in levels if cache),
        "",
        "[model]",
        f'processor = "{model.processor}"',
        f"since_llvm = {model.since_llvm}",
        f"in_order = {str(model.in_order).lower()}",
        *(f"{constant} = {getattr(model, constant)}" for constant in CONSTANTS),
        f"origin = {_text(origin)}",
    ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A string as TOML has it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
