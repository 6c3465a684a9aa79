"""All stages in one command, and going on where it ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from nascompiler import api
from nascompiler.backends.errors import GateError
from nascompiler.backends.measure import Kind
from nascompiler.codesign import stages
from nascompiler.codesign.result import CodesignResult, StageResult
from nascompiler.codesign.run import STAGES, codesign, kept_settings
from nascompiler.codesign.settings import CodesignSettings
from nascompiler.codesign.stages import Context
from nascompiler.data.load import load_dataset
from nascompiler.ir import UsageError
from nascompiler.search.errors import StudyError
from nascompiler.search.evaluation import TargetLatency
from nascompiler.training.presets import recipe_for


def settings(**changed: Any) -> CodesignSettings:
    recipe = replace(recipe_for("default", load_dataset("digits")), epochs=1).to_json()
    given = {"search": {"trials": 2, "top": 1}, "adapt": {"step": 0.2, "decay": 1.0, "steps": 3}, **changed}
    return CodesignSettings("mnasnet-glyphs", "digits", "cpu", 60e3, recipe, recipe, resolution=32, **given)


def context(folder: Path, **changed: Any) -> Context:
    return Context(settings(**changed), folder, load_dataset("digits"))


def test_settings_survive_a_study() -> None:
    assert CodesignSettings.from_json(settings().to_json()) == settings()
    assert settings().search_settings().latency_ns == {"cpu": pytest.approx(75e3)}
    assert settings().adapt_settings().budgets[0].bound == 60e3
    with pytest.raises(StudyError, match="no study of codesign"):
        CodesignSettings.from_json({"space": "mnasnet"})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"slack": 0.9}, "slack is 0.9"),
        ({"adapt": {"step": 2.0}}, "step is 2"),
        ({"search": {"trials": 2, "speed": 1}}, "speed"),
    ],
)
def test_settings_that_do_not_fit(changed: dict[str, Any], words: str) -> None:
    with pytest.raises((UsageError, TypeError), match=words):
        settings(**changed)


def test_a_stage_that_has_ended_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages themselves are stood in for here: what is tested is which of them run, and with what."""
    run: list[str] = []

    def stage(name: str, ns: float) -> Any:
        def made(context: Context, *before: StageResult) -> StageResult:
            run.append(name)
            latency = TargetLatency(ns, Kind.MEASURED)
            return StageResult(name, f"{name}.nir", 0.5, None, latency, details={"after": [b.name for b in before]})

        return made

    functions = ("search", "first_training", "shrinking", "long_training", "quantisation", "compilation", "measurement")
    for number, (function, name) in enumerate(zip(functions, STAGES, strict=True)):
        monkeypatch.setattr(stages, function, stage(name, 90e3 - number * 5e3))

    def interrupted(at: str) -> Any:
        def tell(name: str) -> None:
            if name == at:
                raise KeyboardInterrupt

        return tell

    with pytest.raises(KeyboardInterrupt):
        codesign(context(tmp_path), on_stage=interrupted("netadapt"))
    assert run == ["search", "training"]
    with pytest.raises(KeyboardInterrupt):
        codesign(context(tmp_path), resume=True, on_stage=interrupted("quantisation"))
    assert kept_settings(tmp_path) == settings()
    result = codesign(context(tmp_path), resume=True)
    assert run == list(STAGES)
    assert [stage.name for stage in result.stages] == list(STAGES)
    assert result.stages[3].details["after"] == ["netadapt"]
    result.check()
    assert codesign(context(tmp_path), resume=True).to_json() == result.to_json()
    assert len(run) == len(STAGES)
    with pytest.raises(UsageError, match="continue it with --resume"):
        codesign(context(tmp_path))
    strict = CodesignResult(tmp_path, replace(settings(), latency_ns=50e3), result.stages)
    with pytest.raises(GateError, match="the latency was missed: it takes 60us, asked for 50us on cpu"):
        strict.check()


def small_codesign(folder: Path, latency: str, target: str) -> CodesignResult:
    """All stages for two children of an epoch each."""
    found: list[str] = []
    result = api.codesign(
        "mnasnet-glyphs",
        "digits",
        folder,
        latency,
        target=target,
        recipe=replace(recipe_for("default", load_dataset("digits")), epochs=1),
        resolution=32,
        search={"trials": 2, "top": 1},
        adapt={"step": 0.2, "decay": 1.0, "steps": 3},
        on_stage=found.append,
    )
    assert found == list(STAGES)
    return result


@pytest.mark.slow  # everything is trained, compiled and measured
def test_from_a_space_to_a_measured_artifact(tmp_path: Path) -> None:
    result = small_codesign(tmp_path / "out", "80us", "cpu")
    assert api.load_artifact(tmp_path / "out" / "artifact").folder.is_dir()
    assert all(stage.held_out is not None for stage in result.stages)
    assert result.stages[-1].latency is not None
    assert result.stages[-1].latency.kind is Kind.MEASURED


@pytest.mark.emulated
@pytest.mark.slow  # everything is trained, compiled, estimated and run in an emulator
def test_for_a_core_that_is_not_here(tmp_path: Path) -> None:
    result = small_codesign(tmp_path / "out", "50us", "arm:cortex-a76")
    latencies = [stage.latency for stage in result.stages]
    assert {latency.kind for latency in latencies if latency is not None} == {Kind.ESTIMATED}
    result.check()
