"""What a store holds: rows for the variants of a call, measured in turns in one session."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nascompiler.backends.measure.latency import Kind

DISTURBED = "taken while the processor was slower than at its best"
"""The detail of rows for which no quiet moment could be waited for."""


class Outcome(Enum):
    """What became of measuring a variant."""

    MEASURED = "measured"
    COMPILE_ERROR = "compile error"
    WRONG_RESULT = "wrong result"
    CRASH = "crash"
    TIME_OUT = "time-out"


@dataclass(frozen=True)
class Row:
    """A variant of a call.

    `median_ns` and `spread_ns` (median absolute deviation) are of `repeats` runs. `gain` is the time of the default
    over that of this variant, by the median of the rounds in which both ran: 1 for the default itself. `warm_ns` is the
    median with the weights where the run before left them, 0 where that was not measured. A failure has
    no figures, but `detail` in words; a measurement has none unless it is DISTURBED. `schedule` is the text of a
    schedule that was searched for, see `tvm_adapter`. `cycles` is what an estimate is made of: compute and memory
    apart, and the events they were counted from.
    """

    variant: str
    outcome: Outcome = Outcome.MEASURED
    median_ns: float = 0.0
    spread_ns: float = 0.0
    repeats: int = 0
    gain: float = 0.0
    detail: str = ""
    schedule: str = ""
    warm_ns: float = 0.0
    cycles: Mapping[str, Any] = field(default_factory=dict)

    def ns(self, *, warm: bool) -> float:
        """The median, of weights that stayed in the cache where that is asked for and was measured."""
        return self.warm_ns if warm and self.warm_ns else self.median_ns


@dataclass(frozen=True)
class Session:
    """What measurements have in common: target and generator by their fingerprints, kind, versions, conditions.

    `taken_at` is the time in UTC by ISO 8601.
    """

    target: str
    generator: str
    taken_at: str
    kind: Kind = Kind.MEASURED
    versions: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tuning:
    """All rows of a call from one session; gains within `noise` (0.02 for 2 %) of 1 say nothing.

    The noise is 0 where one variant was measured alone, for its latency. `fresh` says that the kernels measured are
    those of this version, `shipped` that it was another machine of the same kind that was measured, for the base that
    ships.
    """

    rows: tuple[Row, ...]
    noise: float
    kind: Kind
    fresh: bool
    shipped: bool = False

    @property
    def alone(self) -> bool:
        """Whether one variant was measured and the others were not tried."""
        return self.noise == 0.0 and bool(self.measured)

    @property
    def measured(self) -> dict[str, Row]:
        """The rows with figures by variant."""
        return {row.variant: row for row in self.rows if row.outcome is Outcome.MEASURED}

    def best(self, variants: Collection[str], default: str) -> Row | None:
        """The row to go by among `variants`: `default` unless another is faster by more than the noise.

        When the default failed or is new, the fastest; None when none was measured.
        """
        rows = {name: row for name, row in self.measured.items() if name in variants}
        fastest = max(rows.values(), key=lambda row: row.gain, default=None)
        reference = rows.get(default)
        if fastest is None or reference is None or fastest.gain > reference.gain * (1 + self.noise):
            return fastest
        return reference
