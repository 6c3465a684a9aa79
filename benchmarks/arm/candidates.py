"""How many candidates a minute a search gets through on estimates, children not trained.

    python -m benchmarks.arm.candidates [--space mnasnet-glyphs] [--target arm:cortex-a76] [--trials 60] [--seed 0]
                                        [--store FILE] [--json]

The whole loop runs: asking the controller, drawing up architectures, lowering them, looking up and adding their kernel
calls, learning, writing the study. Only the accuracy stands for one that is trained. The loop runs twice with the same
seed: what the store lacks is estimated in the first round, so that the second finds its tables warm. Times are by the
clock. The exit code is 4 when a warm minute has less than 20 candidates.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nascompiler import spaces
from nascompiler.backends.store import Measurements, Store, known_measurements
from nascompiler.search.evaluation import Accuracy
from nascompiler.search.evaluator import ArchitectureEvaluator
from nascompiler.search.executors import InProcess
from nascompiler.search.latency.predicted import PredictedLatency
from nascompiler.search.run import run_search
from nascompiler.search.settings import SearchSettings
from nascompiler.search.trial import TrialSpec

WANTED = 20.0


class Untrained:
    """Stands for trained children: what is larger is taken for better."""

    def accuracy(self, trial: TrialSpec) -> Accuracy:
        return Accuracy(0.5 + sum(trial.vector) / 1000)


@dataclass(frozen=True)
class Round:
    """A search: what it took, and how many kernel calls were estimated for it."""

    seconds: float
    trials: int
    estimated: int

    @property
    def per_minute(self) -> float:
        return 60 * self.trials / self.seconds


def searched(options: argparse.Namespace, store: Store, path: Path) -> Round:
    """One search with what the store knows, and of which it keeps what it finds."""
    before = sum(1 for _ in store.all())
    space, target = spaces.load(options.space), options.target
    source = PredictedLatency(target, error=0.0, known=Measurements((store,)))
    settings = SearchSettings(
        options.space, "none", (target,), {target: 1e6}, trials=options.trials, seed=options.seed, measure=False
    )
    began = time.monotonic()
    run_search(settings, path, space, InProcess(ArchitectureEvaluator(Untrained(), [source], ())))
    return Round(time.monotonic() - began, options.trials, sum(1 for _ in store.all()) - before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mnasnet-glyphs")
    parser.add_argument("--target", default="arm:cortex-a76")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, help="estimates are kept there, not in the user's cache")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    store = Store(options.store) if options.store else known_measurements().stores[0]
    with tempfile.TemporaryDirectory() as folder:
        first, warm = (searched(options, store, Path(folder) / f"{name}.study") for name in ("first", "warm"))
    if options.json:
        rounds = [{"seconds": r.seconds, "estimated": r.estimated, "per_minute": r.per_minute} for r in (first, warm)]
        shown = {"space": options.space, "target": options.target, "trials": options.trials}
        print(json.dumps({**shown, "first": rounds[0], "warm": rounds[1]}, indent=1))
    else:
        print(f"{options.trials} candidates of {options.space} on {options.target}")
        for name, made in (("first", first), ("warm", warm)):
            print(
                f"  {name:6} {made.seconds:7.1f} s, {made.per_minute:7.0f} a minute, {made.estimated} calls estimated"
            )
    return 0 if warm.per_minute >= WANTED and not warm.estimated else 4


if __name__ == "__main__":
    sys.exit(main())
