from __future__ import annotations

import json
import math

import pytest

from benchmarks.peers.results import OURS, Case, Failure, geometric_mean, lead, spread
from tests.benchmarks.peers.samples import result


def test_the_lead_is_over_the_best_of_the_others() -> None:
    found = lead([result("slow", 30.0), result(OURS, 10.0), result("fast", 18.0)])
    assert found is not None
    assert (found.best, found.ratio) == ("fast", pytest.approx(1.8))


def test_the_spread_is_of_rounds_in_which_both_were_undisturbed() -> None:
    ours = result(OURS, 10.0, rounds=(10.0, None, 10.0, 20.0, 10.0))
    best = result("fast", 18.0, rounds=(18.0, 99.0, None, 36.0, 20.0))
    found = lead([ours, best])
    assert found is not None
    assert found.spread == pytest.approx(0.0)  # of 1.8, 1.8 and 2.0
    few = lead([ours, result("fast", 18.0, rounds=(18.0, 18.0, None, None, None))])
    assert few is not None
    assert math.isnan(few.spread)


def test_no_lead_without_ours_or_without_others() -> None:
    assert lead([result("fast", 1.0)]) is None
    assert lead([result(OURS, 1.0)]) is None


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([1.3]) == pytest.approx(1.3)


def test_spread_is_the_median_absolute_deviation() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 100.0]) == 1.0
    assert math.isnan(spread([1.0, 2.0]))


def test_lines_are_flat_json() -> None:
    line = json.loads(result(OURS, 10.0, rounds=(10.0, None, 11.0)).to_json())
    assert (line["model"], line["peer"], line["dtype"], line["threads"]) == ("mobilenet_v1", OURS, "fp32", 1)
    assert line["rounds_ms"] == [10.0, None, 11.0]
    assert line["top1"] == 0.875
    assert json.loads(Failure(Case("m", "ncnn", "int8", 2), "why").to_json()) == {
        "model": "m",
        "peer": "ncnn",
        "dtype": "int8",
        "threads": 2,
        "error": "why",
    }
