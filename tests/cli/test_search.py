"""`nascompiler search` and `nascompiler study`: the contract on the recorded table, and whatever can be given wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nascompiler.search.interfaces import EvaluatorRecipe
from nascompiler.search.latency.top import Candidate, Ranked
from nascompiler.search.study import Study
from tests.search.synthetic import space

SEARCH = ("search", "--space", "mnasnet", "--data", "digits", "--latency", "4500us", "--trials", "30")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are looked up in the synthetic table, by a worker process; the best are measured as they were."""
    recipe = EvaluatorRecipe("tests.search.recorded:Recorded")
    monkeypatch.setattr("nascompiler.search.prepare.prepare", lambda settings: (space(), recipe))
    monkeypatch.setattr("nascompiler.search.latency.measure_top", _as_they_were)


def _as_they_were(finalists: Sequence[Candidate], target: str) -> list[Ranked]:
    return [Ranked(f.name, f.predicted, f.predicted, tied=place == 1) for place, f in enumerate(finalists)]


@pytest.mark.usefixtures("recorded")
def test_search_writes_study_winner_front_and_report(cli: Any, tmp_path: Path):
    study, report = tmp_path / "s.study", tmp_path / "s.html"
    result = cli(*SEARCH, "--study", study, "--constraint", "params<=600k", "--report", report)
    assert result.code == 0, result.err
    assert "Pareto front" in result.out
    assert "measured end to end" in result.out
    assert "within the noise" in result.out
    assert "30 of 30 trials of 3,240 architectures" in result.out
    assert result.err.count("trial ") >= 30
    assert "left" in result.err
    winner = cli("inspect", tmp_path / "s-winner.nir", "--json")
    assert winner.code == 0, winner.err
    assert json.loads(winner.out)["level"] == "arch"
    assert list((tmp_path / "s-front").glob("trial-*.nir"))
    assert "<svg" in report.read_text(encoding="utf-8")


@pytest.mark.usefixtures("recorded")
def test_json_and_listing(cli: Any, tmp_path: Path):
    study = tmp_path / "s.study"
    found = json.loads(cli(*SEARCH, "--study", study, "--json").out)
    assert found["settings"]["latency_ns"] == {"cpu": 4.5e6}
    assert found["winner"]["trial"] in [row["trial"] for row in found["front"]]
    listed = json.loads(cli("study", study, "--json").out)
    assert {**listed, "all_trials": None} == {**found, "all_trials": None}
    assert len(listed["all_trials"]) == 30
    text = cli("study", study, "--all").out
    assert text.count("evaluated") == 30
    assert f"the winner is trial {found['winner']['trial']}" in text


@pytest.mark.usefixtures("recorded")
def test_resume_takes_the_settings_of_the_study(cli: Any, tmp_path: Path):
    study, other = tmp_path / "s.study", tmp_path / "t.study"
    cli(*SEARCH, "--study", study, "--seed", "5", "--controller", "ppo")
    resumed = cli("search", "--study", study, "--resume", "--trials", "50", "--json")
    whole = cli(*SEARCH, "--study", other, "--seed", "5", "--controller", "ppo", "--trials", "50", "--json")
    first, second = (json.loads(result.out) for result in (resumed, whole))
    assert first["winner"]["decisions"] == second["winner"]["decisions"]
    assert first["ended"] == second["ended"] == 50
    changed = cli("search", "--study", study, "--resume", "--seed", "6", "--space", "nasnet")
    assert changed.code == 2
    assert "space is 'mnasnet' in the study and 'nasnet' now; seed is 5 in the study and 6 now" in changed.err


@pytest.mark.usefixtures("recorded")
def test_a_missed_latency_is_told_by_the_exit_code(cli: Any, tmp_path: Path):
    result = cli(*SEARCH, "--study", tmp_path / "s.study", "--latency", "1us", "--latency", "cpu=1us")
    assert (result.code, "two latencies" in result.err) == (2, True)
    result = cli(*SEARCH[:-4], "--latency", "1us", "--trials", "20", "--study", tmp_path / "s.study")
    assert result.code == 4
    assert "the latency was missed" in result.err
    assert (tmp_path / "s-winner.nir").exists()


GOOD = {"--space": "mnasnet-glyphs", "--data": "glyphs-62", "--latency": "1ms"}


@pytest.mark.parametrize(
    "changed, code, message",
    [
        ({"--space": "nasnett"}, 2, "unknown search space 'nasnett' (did you mean nasnet?)"),
        ({"--data": "nothing"}, 2, "unknown data set 'nothing'"),
        ({"--data": "digits"}, 2, "size is 8x8; accepted for mnasnet-glyphs: 16 and more"),
        ({"--target": "gpu"}, 2, "unknown target with latencies 'gpu'"),
        ({"--objective": "fast"}, 2, "unknown objective 'fast'; accepted: accuracy, soft, hard, steep"),
        ({"--objective": "0.5"}, 2, "rewards slow networks"),
        ({"--latency": "25"}, 2, "'25' is no latency; accepted: a number above 0 and its unit"),
        ({"--latency": "arm=25ms"}, 2, "'arm' is not among the targets: cpu"),
        ({"--constraint": "latency<25ms"}, 2, "'latency<25ms' is no constraint"),
        ({"--controller": "nobody"}, 2, "unknown controller 'nobody'; accepted: evolution, ppo or random"),
        ({"--preset": "big"}, 2, "unknown preset of evolution 'big'"),
        ({"--proxy": "colour=green"}, 2, "colour is 'green'"),
        ({"--proxy": "epochs"}, 2, "--proxy has 'epochs'; accepted: NAME=VALUE"),
        ({"--proxy": "none.json"}, 2, "none.json: cannot be read"),
        ({"--retry": "sleepy"}, 2, "--retry sleepy: unknown class; accepted: all, build"),
        ({"--timeout": "soon"}, 2, "'soon' is no latency"),
        ({"--give-up": "1.5"}, 2, "give-up is 1.5"),
        ({"--report": "page.txt"}, 2, "a report ends in .html"),
        ({"--space": None}, 2, "a search needs --space"),
        ({"--latency": None, "--objective": "soft"}, 2, "the objective 'soft' needs a --latency"),
    ],
)
def test_whatever_is_wrong_is_said_before_there_is_a_study(
    cli: Any, tmp_path: Path, changed: dict[str, str | None], code: int, message: str
):
    given = [word for option, value in (GOOD | changed).items() if value is not None for word in (option, value)]
    result = cli("search", *given, "--study", tmp_path / "s.study")
    assert result.code == code
    assert message in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_one_class_is_refused(cli: Any, tmp_path: Path):
    for split in ("train", "val"):
        folder = tmp_path / "images" / split / "n00000001"
        folder.mkdir(parents=True)
        for number in range(3):
            pixels = np.full((40, 40, 3), 80 * number, np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    data = f"imagenet:{tmp_path / 'images'}"
    result = cli("search", "--space", "mnasnet", "--data", data, "--study", tmp_path / "s.study")
    assert result.code != 0
    assert "class" in result.err
    assert not (tmp_path / "s.study").exists()


@pytest.mark.parametrize("verb", [("search", "--resume", "--study"), ("study",)])
def test_files_that_are_no_study(cli: Any, tmp_path: Path, verb: tuple[str, ...]):
    path = tmp_path / "s.study"
    missing = cli(*verb, path)
    assert (missing.code, "there is no study" in missing.err) == (2, True)
    path.write_text("some notes of mine, long enough to be no header " * 30)
    before = path.read_bytes()
    foreign = cli(*verb, path)
    assert (foreign.code, "is not a study, or is damaged" in foreign.err) == (5, True)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("recorded")
def test_a_study_is_not_written_over(cli: Any, tmp_path: Path):
    study = tmp_path / "s.study"
    cli(*SEARCH, "--study", study)
    again = cli(*SEARCH, "--study", study)
    assert again.code == 2
    assert "exists; continue it with --resume" in again.err
    with Study.read(study) as opened:
        assert len(opened.trials()) == 30


def test_an_interrupted_search_can_be_resumed(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study = tmp_path / "s.study"
    code = (
        "import sys\n"
        "from nascompiler.cli import main\n"
        "from nascompiler.search import prepare\n"
        "from nascompiler.search.interfaces import EvaluatorRecipe\n"
        "from tests.search.synthetic import space\n"
        "prepare.prepare = lambda settings: (space(), EvaluatorRecipe('tests.search.recorded:Slow'))\n"
        "main(sys.argv[1:])\n"
    )
    words = [sys.executable, "-c", code, *SEARCH, "--study", str(study)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=_usual_interrupt)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("trial 2 "):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    assert process.wait() == 130, rest
    assert "--resume" in rest
    with Study.read(study) as opened:
        assert 3 <= len(opened.trials()) < 30
    recipe = EvaluatorRecipe("tests.search.recorded:Recorded")
    monkeypatch.setattr("nascompiler.search.prepare.prepare", lambda settings: (space(), recipe))
    monkeypatch.setattr("nascompiler.search.latency.measure_top", _as_they_were)
    resumed = cli("search", "--study", study, "--resume")
    assert resumed.code == 0, resumed.err
    assert "30 of 30 trials" in resumed.out


def _usual_interrupt() -> None:
    """Jobs in the background ignore SIGINT, and so would the child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
