"""What a search costs by itself, and how long large studies take to open.

    python benchmarks/search_cost.py [--space mnasnet] [--controller evolution] [--trials 10000] [--json]

For each controller the loop runs on the space with an evaluator that answers at once: asking, telling, learning,
drawing up architectures, writing the study. The CPU time of a trial must stay under 5 % of `--trial-seconds`, which is
less than a trial of the recorded benchmark takes (training and measuring). Then a study of `--trials` trials is opened,
resumed with nothing left to do, and reported: together under 5 s of CPU time. The exit code is 4 otherwise.
`--controller` is that of the large study: PPO takes minutes to fill it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from nascompiler import spaces
from nascompiler.backends.measure import Kind
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.executors import InProcess
from nascompiler.search.report import save_report
from nascompiler.search.result import SearchResult
from nascompiler.search.run import run_search
from nascompiler.search.settings import SearchSettings
from nascompiler.search.study import Study
from nascompiler.search.trial import TrialSpec

SHARE_LIMIT = 0.05
STUDY_LIMIT_SECONDS = 5.0
FEW = 300
"""Trials by which the cost of one is found."""


class Immediate:
    """Figures that depend on the vector alone."""

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        drawn = int.from_bytes(hashlib.sha256(bytes(trial.vector)).digest()[:4], "little") / 2**32
        ns = 1e6 * (1 + drawn + sum(trial.vector) / 40)
        accuracy = 0.5 + 0.3 * drawn + sum(trial.vector) / 400
        latency = TargetLatency(ns, Kind.MEASURED, 1e4, 30)
        return Evaluation(accuracy, {"cpu": latency}, int(ns), int(ns), (accuracy / 2, accuracy), {"training_s": 1.5})


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def settings(space: str, controller: str, trials: int) -> SearchSettings:
    return SearchSettings(space, "none", ("cpu",), {"cpu": 2e6}, controller=controller, trials=trials)


def search(path: Path, space: str, controller: str, trials: int, *, resume: bool = False) -> None:
    asked = settings(space, controller, trials)
    run_search(asked, path, spaces.load(space), InProcess(Immediate()), resume=resume)


def costs_of_a_trial(folder: Path, space: str) -> Mapping[str, float]:
    """CPU milliseconds of a trial by controller."""
    found = {}
    for controller in ("evolution", "ppo", "random"):
        path = folder / f"{controller}.study"
        seconds = cpu_seconds(lambda c=controller, p=path: search(p, space, c, FEW))  # type: ignore[misc]
        found[controller] = 1e3 * seconds / FEW
    return found


def large_study(folder: Path, space: str, controller: str, trials: int) -> Mapping[str, float]:
    """CPU seconds of what is done with a study that is complete."""
    path = folder / "large.study"
    search(path, space, controller, trials)

    def opened() -> SearchResult:
        with Study.read(path) as study:
            return SearchResult.of(study)

    result = opened()
    return {
        "open": cpu_seconds(opened),
        "resume": cpu_seconds(lambda: search(path, space, controller, trials, resume=True)),
        "report": cpu_seconds(lambda: save_report(result, folder / "large.html")),
        "megabytes": path.stat().st_size / 1e6,
        "page_megabytes": (folder / "large.html").stat().st_size / 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mnasnet")
    parser.add_argument("--controller", default="evolution")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--trial-seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        costs = costs_of_a_trial(Path(name), arguments.space)
        large = large_study(Path(name), arguments.space, arguments.controller, arguments.trials)
    shares = {controller: ms / 1e3 / arguments.trial_seconds for controller, ms in costs.items()}
    total = large["open"] + large["resume"] + large["report"]
    if arguments.json:
        print(json.dumps({"trial_ms": costs, "shares": shares, "study": large, "study_total_s": total}, indent=2))
    else:
        for controller, ms in costs.items():
            print(f"{controller}: {ms:.1f} ms of CPU time a trial, {shares[controller]:.2%} of that of a trial")
        print(f"{arguments.trials} trials, {large['megabytes']:.1f} MB; page {large['page_megabytes']:.1f} MB")
        print(", ".join(f"{what} {large[what]:.2f} s" for what in ("open", "resume", "report")) + f"; {total:.2f} s")
    return 0 if max(shares.values()) < SHARE_LIMIT and total < STUDY_LIMIT_SECONDS else 4


if __name__ == "__main__":
    sys.exit(main())
