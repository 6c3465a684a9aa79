"""Budgets as users write them."""

from __future__ import annotations

import pytest

from nascompiler.ir import UsageError
from nascompiler.netadapt.budgets import Budget, parse_budgets


def test_forms() -> None:
    found = parse_budgets(["18ms"], ["params<=1M", "macs <= 0.5x"], ["cpu"])
    assert found == (Budget("cpu", 18e6), Budget("params", 1e6), Budget("macs", factor=0.5))
    assert parse_budgets(["0.6x"], [], ["cpu", "toy:a"]) == (Budget("cpu", factor=0.6), Budget("toy:a", factor=0.6))
    assert parse_budgets(["cpu=0.6x", "toy:a=5us"], [], ["cpu", "toy:a"]) == (
        Budget("cpu", factor=0.6),
        Budget("toy:a", 5000.0),
    )
    assert [str(budget) for budget in found] == ["cpu<=18ms", "params<=1,000,000", "macs<=0.5x"]
    assert [Budget.from_json(budget.to_json()) for budget in found] == list(found)
    assert (found[0].of(50e6), found[2].of(80.0)) == (18e6, 40.0)


@pytest.mark.parametrize(
    ("latencies", "sizes", "words"),
    [
        ([], [], "no budget is given"),
        (["18"], [], "'18' is no latency; accepted"),
        (["1.2x"], [], "between 0 and 1"),
        (["0x"], [], "between 0 and 1"),
        (["arm=5ms"], [], "'arm' is not among the targets: cpu"),
        (["5ms", "cpu=6ms"], [], "two budgets are given for cpu"),
        ([], ["accuracy<=0.5"], "is no budget; accepted: params<=1M"),
        ([], ["params<=many"], "is no count"),
    ],
)
def test_what_is_wrong(latencies: list[str], sizes: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_budgets(latencies, sizes, ["cpu"])


def test_everything_wrong_is_listed() -> None:
    with pytest.raises(UsageError, match=r"'18' is no latency.*; 'macs<=0' .*|'18' is no latency.*'sizes'.*no budget"):
        parse_budgets(["18"], ["sizes"], ["cpu"])
