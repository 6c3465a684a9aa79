"""Settings that fit together, and those that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nascompiler.ir import UsageError
from nascompiler.netadapt.budgets import parse_budgets
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.search.errors import StudyError
from tests.netadapt.parts import SETTINGS


def test_they_survive_a_study() -> None:
    assert AdaptSettings.from_json(SETTINGS.to_json()) == SETTINGS


def test_the_schedule_is_the_published_one() -> None:
    settings = replace(SETTINGS, step=0.025, decay=0.96, budgets=parse_budgets(["0.9x"], [], ["cpu"]))
    assert settings.step_part(0) == 0.025
    assert settings.step_part(2) == pytest.approx(0.025 * 0.96 * 0.96)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"step": 0}, "step is 0; accepted"),
        ({"decay": 1.5}, "decay is 1.5; accepted"),
        ({"step": 0.01}, "steps of 0.01 x 0.98.i add up to 50%, and toy<=0.4x asks for 60%"),
        ({"proposals": "some"}, "proposals is 'some'; accepted: all, mobilenet-v3 or layers"),
        ({"rule": "luck"}, "rule is 'luck'"),
        ({"criterion": "l9"}, "criterion is 'l9'; accepted: l2, l1 or normalized"),
        ({"multiple": 0}, "multiple is 0"),
        ({"steps": -1}, "steps is -1"),
    ],
)
def test_what_is_wrong(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(SETTINGS, budgets=parse_budgets(["0.4x"], [], ["toy"]), **changed)


def test_what_is_resumed_keeps_its_settings() -> None:
    assert SETTINGS.resumed_with({"parallel": 3, "step": None}).parallel == 3
    with pytest.raises(UsageError, match=r"step is 0.05 in the study and 0.1 now"):
        SETTINGS.resumed_with({"step": 0.1})


def test_other_studies_are_refused() -> None:
    with pytest.raises(StudyError, match="no study of netadapt"):
        AdaptSettings.from_json({"space": "mnasnet"})
    with pytest.raises(StudyError, match="cannot be read"):
        AdaptSettings.from_json({**SETTINGS.to_json(), "later": 1})
