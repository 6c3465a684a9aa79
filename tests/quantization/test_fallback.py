from __future__ import annotations

import pytest

from nascompiler.ir import DType, verify
from nascompiler.quantization.fallback import LARGEST_FLOAT_SHARE, Fallback, fall_back
from nascompiler.quantization.placement import integer_share, placements
from nascompiler.quantization.score import Judge
from nascompiler.quantization.sensitivity import sensitivity
from tests.quantization.classifiers import classifier, images, quantized_classifier

COUNT = 60


def fallen(max_drop: float, *, outlier: float = 300.0, **settings) -> tuple[Fallback, Judge, int]:
    quantized = quantized_classifier(outlier=outlier, equalize=False, **settings)
    judge = Judge(classifier(outlier=outlier), images(COUNT, seed=7), count=COUNT)
    measured = []

    def score_of(graph):
        measured.append(graph)
        return judge.score(graph)

    rows = sensitivity(quantized, images(3))
    return fall_back(quantized, judge.score(quantized.graph), rows, max_drop, score_of), judge, len(measured)


def test_nothing_changes_where_the_gate_holds() -> None:
    found, _, measured = fallen(100.0)
    assert measured == 0
    assert found.attempts == ()
    assert found.quantized.settings.wide == found.quantized.settings.keep_float == ()


def test_layers_that_hurt_get_16_bits_until_the_gate_holds() -> None:
    before, judge, _ = fallen(100.0)
    assert before.score.drop > 10
    found, _, measured = fallen(4.0)
    assert found.met(4.0)
    assert found.quantized.settings.wide
    assert any(v.type.dtype is DType.I16 for n in found.quantized.graph.nodes for v in n.results)
    assert measured == len(found.attempts) <= 8
    verify(found.quantized.graph)
    again = judge.score(found.quantized.graph)
    assert (again.drop, again.quantized) == (found.score.drop, found.score.quantized)


def test_what_was_asked_for_stays() -> None:
    found, _, _ = fallen(4.0, keep_float=("stem",), wide=("scores",))
    assert "stem" in found.quantized.settings.keep_float
    assert "scores" in found.quantized.settings.wide


def test_a_gate_that_cannot_be_met_gives_the_best_that_was_found() -> None:
    before, _, _ = fallen(100.0)
    found, _, _ = fallen(-1.0)
    assert not found.met(-1.0)
    assert found.score.drop == min(attempt.drop for attempt in found.attempts) <= before.score.drop
    assert integer_share(placements(found.quantized)) >= 1 - LARGEST_FLOAT_SHARE


def test_the_same_twice() -> None:
    first, second = fallen(4.0)[0], fallen(4.0)[0]
    assert first.attempts == second.attempts
    assert first.score == second.score


@pytest.mark.parametrize("max_drop", [4.0, 8.0, 20.0])
def test_no_more_layers_than_needed(max_drop: float) -> None:
    found, _, _ = fallen(max_drop)
    assert found.met(max_drop)
    changed = len(found.quantized.settings.wide) + len(found.quantized.settings.keep_float)
    meeting = [a for a in found.attempts if a.drop <= max_drop]
    assert changed == min((len(a.wide) + len(a.keep_float) for a in meeting), default=0)
