"""The most channels with which a goal is met, in few questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nascompiler.netadapt.proposals import Proposal, goals, propose, smallest
from nascompiler.netadapt.shrinkable import Shrinkable, Sort

LENGTHS = [64, 200, 8, 40]
SHRINKABLES = [Shrinkable(f"group {g}", Sort.FILTERS, (g,)) for g in range(4)]
WEIGHTS = [10.0, 3.0, 100.0, 0.01]


class Linear:
    """So many ns for each channel; `bent`: sixteen channels cost as much as those up to the next sixteen."""

    def __init__(self, bent: bool = False) -> None:
        self.asked = 0
        self.calls = 0
        self.bent = bent

    def amounts(self, variants: Sequence[Mapping[int, int]]) -> list[float]:
        self.calls += 1
        self.asked += len(variants)
        return [self.of(counts) for counts in variants]

    def of(self, counts: Mapping[int, int]) -> float:
        kept = [counts.get(g, n) for g, n in enumerate(LENGTHS)]
        return sum(w * (-(-n // 16) * 16 if self.bent else n) for w, n in zip(WEIGHTS, kept, strict=True))


def proposed(narrowing: Linear, goal: float, factor: float = 1.0) -> dict[str, Proposal]:
    values = {"cpu": narrowing.of({}) * factor}
    found = propose(SHRINKABLES, LENGTHS, {"cpu": narrowing}, {"cpu": factor}, values, {"cpu": goal})
    return {proposal.name: proposal for proposal in found}


def test_the_most_channels_that_are_few_enough() -> None:
    narrowing = Linear()
    whole = narrowing.of({})
    found = proposed(narrowing, whole - 100)
    # 10 channels of 10 ns, 34 of 3 ns in eights; a group of 8 has no smaller one, and group 3 weighs too little.
    assert {name: dict(p.counts) for name, p in found.items()} == {"group 0": {0: 48}, "group 1": {1: 160}}
    assert found["group 0"].values["cpu"] == narrowing.of({0: 48}) <= whole - 100
    assert narrowing.calls <= 6


def test_factors_count() -> None:
    narrowing = Linear()
    found = proposed(narrowing, 2 * (narrowing.of({}) - 100), factor=2.0)
    assert dict(found["group 0"].counts) == {0: 48}


def test_steps_in_the_latency() -> None:
    narrowing = Linear(bent=True)
    found = proposed(narrowing, narrowing.of({}) - 160)
    assert dict(found["group 0"].counts) == {0: 48}
    assert narrowing.of(found["group 1"].counts) <= narrowing.of({}) - 160
    (count,) = found["group 1"].counts.values()
    assert narrowing.of({1: count + 8}) > narrowing.of({}) - 160


def test_goals_stop_at_the_bound() -> None:
    values, originals = {"cpu": 70.0, "macs": 9.0}, {"cpu": 100.0, "macs": 10.0}
    assert goals(values, originals, {"cpu": 60.0, "macs": 9.5}, 0.05) == {"cpu": 65.0, "macs": 9.5}
    assert goals(values, originals, {"cpu": 68.0}, 0.05) == {"cpu": 68.0}
    assert goals(values, originals, {"cpu": 68.0, "macs": 9.5}, 0.05, {"cpu": 0.01}) == {"cpu": 67.0, "macs": 9.5}


def test_all_must_hold() -> None:
    class Size(Linear):
        def of(self, counts: Mapping[int, int]) -> float:
            return float(sum(counts.get(g, n) for g, n in enumerate(LENGTHS)))

    latency, size = Linear(), Size()
    values = {"cpu": latency.of({}), "params": size.of({})}
    wanted = {"cpu": values["cpu"] - 50, "params": values["params"] - 40}
    found = propose(SHRINKABLES, LENGTHS, {"cpu": latency, "params": size}, {}, values, wanted)
    assert [dict(p.counts) for p in found] == [{0: 24}, {1: 160}]


def test_the_smallest() -> None:
    assert smallest(SHRINKABLES, LENGTHS, 8) == {0: 8, 1: 8, 3: 8}


def test_proposals_survive_a_study() -> None:
    proposal = Proposal("a", {3: 16, 4: 8}, {"cpu": 12.5})
    assert Proposal.from_json(proposal.to_json()) == proposal
