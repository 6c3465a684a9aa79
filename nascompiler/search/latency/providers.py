"""Which targets can tell latencies, and of which kind: the host, the TPU, and those that installed packages bring."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Protocol

from nascompiler.backends.measure import Kind
from nascompiler.backends.target import parse_target
from nascompiler.ir.errors import UsageError, choices_text, unknown
from nascompiler.search.interfaces import LatencySource
from nascompiler.search.latency.boards import BoardLatency
from nascompiler.search.latency.check import kept_error
from nascompiler.search.latency.measured import MeasuredLatency
from nascompiler.search.latency.predicted import PredictedLatency

ENTRY_POINTS = "nascompiler.latency_providers"
"""Group of entry points: the kind of target (what stands before the colon) and a LatencyProvider."""

QUICK = (Kind.PREDICTED, Kind.ESTIMATED, Kind.SIMULATED, Kind.MEASURED)
"""What a search prefers while it looks around."""

THOROUGH = (Kind.MEASURED, Kind.SIMULATED, Kind.ESTIMATED)
"""What it takes for the best in the end: the whole network run, on the device or in its simulator; where there is no
board, the estimate of every call."""


class LatencyProvider(Protocol):
    """How latencies on one kind of target come about.

    `kinds` are those that it can give. `source` makes a source of one of them for a target such as `arm:cortex-a72`, or
    raises UsageError for a target that it does not know. `space` names the search space, whose error may be known.
    """

    @property
    def kinds(self) -> frozenset[Kind]: ...

    def source(self, target: str, kind: Kind, *, space: str | None = None) -> LatencySource: ...


class HostLatency:
    """This machine: sums of kernel calls, and networks timed whole."""

    kinds = frozenset({Kind.PREDICTED, Kind.MEASURED})

    def source(self, target: str, kind: Kind, *, space: str | None = None) -> LatencySource:
        if kind is Kind.MEASURED:
            return MeasuredLatency(target)
        error = None if space is None else kept_error(space, parse_target(target))
        return PredictedLatency(target, error=error)


class TpuLatency:
    """The TPU: its simulator, which tells a network's cycles from its structure."""

    kinds = frozenset({Kind.SIMULATED})

    def source(self, target: str, kind: Kind, *, space: str | None = None) -> LatencySource:
        from nascompiler.search.latency.simulated import SimulatedLatency

        return SimulatedLatency(target)


class EmulatedLatency:
    """A core that is not here: estimates of kernel calls, added up."""

    kinds = frozenset({Kind.ESTIMATED})

    def source(self, target: str, kind: Kind, *, space: str | None = None) -> LatencySource:
        return PredictedLatency(target, error=0.0)  # what an estimate errs by is no noise: it is the same every time


class DeviceLatency:
    """A board: sums of kernel calls that were timed there, and networks timed whole."""

    kinds = frozenset({Kind.PREDICTED, Kind.MEASURED})

    def source(self, target: str, kind: Kind, *, space: str | None = None) -> LatencySource:
        return BoardLatency(target) if kind is Kind.MEASURED else PredictedLatency(target)


def provider(target: str) -> LatencyProvider:
    """Who tells latencies of a target; raises UsageError, listing what there is, where nobody does."""
    kind = re.split(r"[:{]", target.strip(), maxsplit=1)[0]
    if kind == "cpu":
        return HostLatency()
    if kind == "tpu":
        return TpuLatency()
    if kind == "arm":
        return EmulatedLatency() if parse_target(target).is_emulated else DeviceLatency()
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if kind not in points:
        raise unknown("target with latencies", kind, ["arm", "cpu", "tpu", *points])
    try:
        made: LatencyProvider = points[kind].load()()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the plugin {kind!r} ({points[kind].value}) cannot be loaded: {error}") from error
    return made


def latency_source(target: str, *, measure: bool = False, space: str | None = None) -> LatencySource:
    """The source that a search asks about each architecture; with `measure`, one that runs each whole.

    Raises UsageError for an unknown target, and with `measure` for one that cannot be run here.
    """
    found = provider(target)
    wanted = THOROUGH if measure else QUICK
    kind = next((kind for kind in wanted if kind in found.kinds), None)
    if kind is None:
        given = choices_text(sorted(kind.value for kind in found.kinds))
        raise UsageError(f"latencies on {target} cannot be measured here, only {given}")
    return found.source(target, kind, space=space)
