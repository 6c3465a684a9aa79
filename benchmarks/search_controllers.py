"""How soon controllers find what is good, on the recorded benchmark.

    python benchmarks/search_controllers.py [--seeds 20] [--first-seed 0] [--samples 600] [--latency 300us] [--json]

Every controller runs with its preset for small budgets on the table of `nascompiler.search.recorded`: nothing is
trained. The reward is the accuracy times (latency / aim)^-0.07; the aim is the median latency of the table unless
another is given. The presets were chosen on other tables and other seeds (docs/search.md), not on these.

The exit code is 4 unless evolution reaches the best 0.5 % of the table in at most half of the samples that random
search needs (medians over the seeds), the mean reward of the last 100 samples of PPO lies above the 85th percentile of
the table (mean over the seeds), and the area under its best-so-far curve is larger than that of random search with the
same seed (Wilcoxon's signed-rank test, one-sided, p < 0.05).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from nascompiler import spaces
from nascompiler.search import controllers, recorded
from nascompiler.search.objective import PRESETS
from nascompiler.search.recorded.benchmark import SPACE
from nascompiler.search.units import parse_duration_ns
from nascompiler.spaces import SearchSpace, Vector

BEST_PART = 0.005
LAST = 100
PERCENTILE = 85.0
LEVEL = 0.05

Rewards = NDArray[np.float64]


@dataclass(frozen=True)
class Findings:
    """Figures over all seeds: samples until the best part is reached (medians), rewards, areas, and the test."""

    seeds: int
    samples: int
    random_needs: float
    evolution_needs: float
    ppo_last: float
    percentile: float
    ppo_above: int
    ppo_area: float
    random_area: float
    p_value: float

    @property
    def holds(self) -> bool:
        return (
            self.evolution_needs <= self.random_needs / 2
            and self.ppo_last > self.percentile
            and self.ppo_area > self.random_area
            and self.p_value < LEVEL
        )


def rewards_of(
    accuracies: Mapping[Vector, float], latencies_ns: Mapping[Vector, float], aim_ns: float
) -> dict[Vector, float]:
    exponent = PRESETS["soft"][0]
    return {vector: accuracy * (latencies_ns[vector] / aim_ns) ** exponent for vector, accuracy in accuracies.items()}


def recorded_worth(aim_ns: float | None = None) -> dict[Vector, float]:
    """The rewards of the recorded benchmark; the aim is the median latency unless given."""
    rows = recorded.load()
    latencies = {vector: row.latency_ns for vector, row in rows.items() if row.latency_ns is not None}
    if len(latencies) < len(rows):
        raise SystemExit(f"{len(rows) - len(latencies)} architectures of the table have no latency yet")
    accuracies = {vector: row.accuracy for vector, row in rows.items()}
    return rewards_of(accuracies, latencies, aim_ns or float(np.median(list(latencies.values()))))


def run(name: str, space: SearchSpace, worth: Mapping[Vector, float], seed: int, samples: int, preset: str) -> Rewards:
    """The reward of each sample."""
    controller = controllers.create(name, space, seed=seed, preset=preset)
    found = []
    for _ in range(samples):
        vector = controller.ask()
        found.append(worth[vector])
        controller.tell(vector, found[-1])
    return np.array(found)


def compare(
    space: SearchSpace,
    worth: Mapping[Vector, float],
    seeds: Sequence[int],
    samples: int,
    *,
    preset: str = "small",
    said: Callable[[str], None] = lambda text: None,
) -> Findings:
    """Run the three controllers with each seed."""
    values = np.sort(np.array(list(worth.values())))
    threshold = values[len(values) - max(1, int(BEST_PART * len(values)))]
    found: dict[str, list[Rewards]] = {}
    for name in ("random", "evolution", "ppo"):
        found[name] = [run(name, space, worth, seed, samples, preset) for seed in seeds]
        said(f"{name}: {needed(found[name], threshold):g} samples until the best {BEST_PART:.1%}")
    last = [float(rewards[-LAST:].mean()) for rewards in found["ppo"]]
    percentile = float(np.percentile(values, PERCENTILE))
    areas = {name: [area(rewards) for rewards in found[name]] for name in found}
    return Findings(
        len(seeds),
        samples,
        needed(found["random"], threshold),
        needed(found["evolution"], threshold),
        float(np.mean(last)),
        percentile,
        sum(mean > percentile for mean in last),
        float(np.mean(areas["ppo"])),
        float(np.mean(areas["random"])),
        signed_rank_p(np.array(areas["ppo"]) - np.array(areas["random"])),
    )


def needed(runs: Sequence[Rewards], threshold: float) -> float:
    """The median number of samples until one is at least the threshold; one more than there are where none is."""
    first = [int(np.argmax(r >= threshold)) + 1 if (r >= threshold).any() else len(r) + 1 for r in runs]
    return float(np.median(first))


def area(rewards: Rewards) -> float:
    """Under the best-so-far curve, as its mean height."""
    return float(np.maximum.accumulate(rewards).mean())


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Wilcoxon's signed-rank test, one-sided and exact: how likely such differences are by chance.

    Of all 2^n ways to sign the ranks, the part whose positive ones add up to at least as much. Zeros are left out,
    ties share their mean rank (doubled, to count in whole numbers).
    """
    kept = differences[differences != 0]
    if not len(kept):
        return 1.0
    sizes = np.abs(kept)
    doubled = np.array([2 * np.sum(sizes < size) + np.sum(sizes == size) + 1 for size in sizes], dtype=int)
    observed = int(doubled[kept > 0].sum())
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1
    for rank in doubled:
        ways[rank:] = ways[rank:] + ways[: len(ways) - rank]
    return float(ways[observed:].sum() / ways.sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--latency", help="to aim for, as 300us; default: the median of the table")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    space = spaces.load(SPACE)
    worth = recorded_worth(None if arguments.latency is None else parse_duration_ns(arguments.latency))
    findings = compare(
        space, worth, seeds, arguments.samples, preset=arguments.preset, said=lambda text: print(text, file=sys.stderr)
    )
    if arguments.json:
        print(json.dumps(asdict(findings) | {"holds": findings.holds}, indent=2))
    else:
        for name, value in asdict(findings).items():
            print(f"{name.replace('_', ' ')}: {value:.6g}")
    return 0 if findings.holds else 4


if __name__ == "__main__":
    sys.exit(main())
