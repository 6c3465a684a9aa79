"""How good predictions are: a space's architectures predicted, and measured end to end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.errors import StoreError
from nascompiler.backends.target import Target
from nascompiler.ir.files import write_text
from nascompiler.search.latency.end_to_end import NetworkTimer
from nascompiler.search.latency.predicted import PredictedLatency
from nascompiler.spaces import SearchSpace

TOGETHER = 7
"""Architectures that are timed in turns, besides the anchors."""

ANCHORS = {f"anchor {seed}": seed for seed in range(4321, 4326)}
"""Architectures, by seeds of their own, that are timed in turns with all others: they tell how fast the machine is."""


ROUNDS, SECONDS, PATIENCE_S = 18, 0.03, 0.7
"""Many short rounds: in each the machine is about as fast for all."""


@dataclass(frozen=True)
class Pair:
    """An architecture predicted and measured, ns. `missing` calls were not known; `disturbed`: no moment was quiet.

    `anchored_ns` is the measurement as it would have been at the speed that the machine had when the table was made:
    the median over the rounds of the time divided by what the anchors took in that round over their predictions.
    """

    number: int
    predicted_ns: float
    measured_ns: float
    spread_ns: float
    anchored_ns: float
    missing: int
    disturbed: bool

    @property
    def error(self) -> float:
        """Predicted over measured at the table's speed, less 1."""
        return self.predicted_ns / self.anchored_ns - 1


@dataclass(frozen=True)
class Check:
    """What came of a check. Nothing is fitted to the pairs; the anchors are none of them."""

    space: str
    target: str
    pairs: tuple[Pair, ...]

    @property
    def mean_error(self) -> float:
        """The mean of the errors' sizes; NaN without pairs."""
        return _mean([abs(pair.error) for pair in self.pairs])

    @property
    def bias(self) -> float:
        """The mean error with its sign: above 0, predictions are too long."""
        return _mean([pair.error for pair in self.pairs])

    @property
    def unanchored_error(self) -> float:
        """The mean size of (predicted over measured, less 1), in which the machine's change of speed is contained."""
        return _mean([abs(pair.predicted_ns / pair.measured_ns - 1) for pair in self.pairs])

    @property
    def slowdown(self) -> float:
        """How many times as long everything takes as when the table was made: the median over the pairs."""
        ratios = [pair.measured_ns / pair.anchored_ns for pair in self.pairs]
        return float(np.median(ratios)) if ratios else nan

    @property
    def rank_correlation(self) -> float:
        """Spearman's: 1 when predictions put architectures into the same order as measurements."""
        return rank_correlation([p.predicted_ns for p in self.pairs], [p.anchored_ns for p in self.pairs])

    def to_json(self) -> dict[str, Any]:
        return {
            "space": self.space,
            "target": self.target,
            "mean_error": self.mean_error,
            "bias": self.bias,
            "unanchored_error": self.unanchored_error,
            "slowdown": self.slowdown,
            "rank_correlation": self.rank_correlation,
            "pairs": [asdict(pair) for pair in self.pairs],
        }


def check_predictions(
    space: SearchSpace,
    target: Target,
    numbers: Sequence[int],
    *,
    predicted: PredictedLatency,
    timer: NetworkTimer,
    report: Callable[[Pair], None] = lambda pair: None,
) -> Check:
    """Predict the architectures that some seeds draw from a space, and measure each end to end, a few in turns."""
    pairs: list[Pair] = []
    anchors = {name: space.architecture(space.sample(seed)) for name, seed in ANCHORS.items()}
    expected_ns = {name: predicted.of(graph).ns for name, graph in anchors.items()}
    for start in range(0, len(numbers), TOGETHER):
        names = {str(number): number for number in numbers[start : start + TOGETHER]}
        predictions = {}
        for name, number in names.items():
            graph = space.architecture(space.sample(number))
            predictions[name] = predicted.of(graph)
            timer.prepare(name, graph)
        for name, graph in anchors.items():
            if not timer.holds(name):
                timer.prepare(name, graph)
        measured = timer.measure([*anchors, *names], rounds=ROUNDS, seconds=SECONDS, patience_s=PATIENCE_S)
        slowdown = np.mean([np.array(measured[name].round_medians) / expected_ns[name] for name in anchors], axis=0)
        for name, number in names.items():
            timed, prediction = measured[name], predictions[name]
            latency = timed.latency
            anchored_ns = float(np.median(np.array(timed.round_medians) / slowdown))
            figures = (prediction.ns, latency.ns, latency.spread_ns, anchored_ns)
            pair = Pair(number, *figures, prediction.missing, timed.is_disturbed)
            pairs.append(pair)
            report(pair)
            timer.forget(name)
    return Check(space.name, str(target), tuple(pairs))


def keep_check(check: Check, target: Target) -> None:
    """Keep it for predictions to come, in place of an earlier one."""
    path = _path(check.space, target)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_text(path, json.dumps(check.to_json(), indent=1))


def kept_check(space: str, target: Target) -> Check | None:
    """The check of a space that was kept last, or None; raises StoreError for a file that cannot be read."""
    path = _path(space, target)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Check(data["space"], data["target"], tuple(Pair(**pair) for pair in data["pairs"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"cannot read the check in {path}: {error}; remove the file") from None


def kept_error(space: str, target: Target) -> float | None:
    """The mean error of predictions for a space where it was checked."""
    check = kept_check(space, target)
    return None if check is None or not check.pairs else check.mean_error


def rank_correlation(first: Iterable[float], second: Iterable[float]) -> float:
    """Spearman's rank correlation; equal values share their mean rank. NaN for fewer than two different values."""
    ranks = [_ranks(np.asarray(list(values), float)) for values in (first, second)]
    if any(len(rank) < 2 or np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else nan


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: np.ndarray = (last - (counts - 1) / 2)[inverse]
    return shared


def _path(space: str, target: Target) -> Path:
    return cache_folder() / "latency-tables" / f"{space}-{target.timing_fingerprint}-check.json"
