"""From settings to files, on the recorded table."""

import json
from dataclasses import replace

import pytest

from nascompiler.backends.errors import GateError
from nascompiler.backends.measure import Kind
from nascompiler.ir import UsageError, files
from nascompiler.search.errors import StudyError
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.executors import InProcess
from nascompiler.search.failures import FailureClass
from nascompiler.search.latency.top import Ranked
from nascompiler.search.run import run_search
from nascompiler.search.settings import SearchSettings
from nascompiler.search.study import Study
from nascompiler.spaces import SearchSpace
from tests.search.recorded import Recorded
from tests.search.synthetic import space, worths

SETTINGS = SearchSettings(
    "synthetic", "table", ("cpu",), {"cpu": 4e6}, trials=60, seed=3, constraints=("params<=600k",), top=3
)


def run(path, settings=SETTINGS, **options):
    options = {"evaluator": Recorded(), **options}
    return run_search(settings, path, space(), InProcess(options.pop("evaluator")), **options)


def slower(by):
    """A measurement of the best that finds them slower by these factors, in the order they come."""
    factors = iter(by)

    def measure_top(finalists, target):
        assert target == "cpu"
        found = []
        for finalist in finalists:
            if finalist.name not in factors_of:
                factors_of[finalist.name] = next(factors, 1.0)
            measured = TargetLatency(finalist.predicted.ns * factors_of[finalist.name], Kind.MEASURED, 100.0, 20)
            found.append(Ranked(finalist.name, finalist.predicted, measured))
        return found

    factors_of = {}
    return measure_top


def test_the_winner_has_the_best_reward_of_those_that_meet_everything(tmp_path):
    result = run(tmp_path / "a.study")
    fitting = [t for t in result.trials if t.evaluation.parameters <= 600_000]
    assert 0 < len(fitting) < 60
    fast = [t for t in fitting if t.evaluation.latencies["cpu"].ns <= 4e6]
    assert result.winner.trial.told == max(t.told for t in fast)
    assert result.winner in result.front
    result.check()


def test_the_front_holds_what_is_nowhere_worse(tmp_path):
    result = run(tmp_path / "a.study")
    found = {(c.evaluation.accuracy, c.evaluation.latencies["cpu"].ns) for c in result.candidates}
    for candidate in result.front:
        accuracy, ns = candidate.evaluation.accuracy, candidate.evaluation.latencies["cpu"].ns
        assert not any(a >= accuracy and t <= ns and (a, t) != (accuracy, ns) for a, t in found)
    assert 0 < result.volume < 1


def test_architectures_are_written_beside_the_study(tmp_path):
    result = run(tmp_path / "a.study")
    assert result.winner_path == tmp_path / "a-winner.nir"
    winner = files.load(result.winner_path)
    assert winner.name == f"synthetic-trial-{result.winner.number}"
    assert not winner.is_open
    names = {path.name for path in (tmp_path / "a-front").iterdir()}
    assert names == {f"trial-{candidate.number}.nir" for candidate in result.front}


def test_a_front_that_moves_on_leaves_nothing_behind(tmp_path):
    run(tmp_path / "a.study")
    result = run(tmp_path / "a.study", replace(SETTINGS, trials=200), resume=True)
    names = {path.name for path in (tmp_path / "a-front").iterdir()}
    assert names == {f"trial-{candidate.number}.nir" for candidate in result.front}
    assert len(result.trials) == 200
    with Study.read(tmp_path / "a.study") as study:
        assert SearchSettings.from_json(study.settings).trials == 200


def test_the_best_are_measured_until_the_best_is_one_that_was(tmp_path):
    first = run(tmp_path / "a.study").candidates[:3]
    result = run(tmp_path / "b.study", measure_top=slower([3.0, 3.0, 3.0]))
    assert {final.trial for final in result.finals} > {candidate.number for candidate in first}
    assert result.winner.number not in {candidate.number for candidate in first}
    assert result.winner.measured[0].measured.ns == result.winner.evaluation.latencies["cpu"].ns
    assert result.winner in result.front
    with Study.read(tmp_path / "b.study") as study:
        assert study.finals() == result.finals


def test_a_winner_that_is_too_slow_is_said_to_be(tmp_path):
    result = run(tmp_path / "a.study", replace(SETTINGS, latency_ns={"cpu": 1e5}))
    assert not result.winner.meets_latency
    with pytest.raises(
        GateError, match=r"latency was missed: the winner, trial \d+, takes .*ms on cpu .measured., asked for 100us"
    ):
        result.check()


def test_constraints_that_nothing_meets_leave_no_winner(tmp_path):
    result = run(tmp_path / "a.study", replace(SETTINGS, constraints=("params<=10",)))
    assert result.winner is None
    assert not result.winner_path.exists()
    with pytest.raises(GateError, match=r"no architecture of 60 trials meets the constraints .params<=10."):
        result.check()


def test_half_the_latency_gives_faster_winners(tmp_path):
    found = []
    for aim in (8.4e6, 4.2e6):
        settings = replace(SETTINGS, latency_ns={"cpu": aim}, constraints=(), trials=150)
        winner = run(tmp_path / f"{aim}.study", settings).winner
        assert winner.evaluation.latencies["cpu"].ns <= aim
        assert winner.evaluation.accuracy == worths()[winner.trial.vector][0]
        found.append(winner.evaluation.latencies["cpu"].ns)
    assert found[1] < found[0]


def test_failed_trials_are_run_once_more(tmp_path):
    said = []
    failing = Recorded(lambda trial: FailureClass.BUILD if trial.number == 7 else None)
    assert run(tmp_path / "a.study", evaluator=failing).failures == {"build": 1}
    result = run(tmp_path / "a.study", resume=True, retry=[FailureClass.BUILD], say=said.append)
    assert result.failures == {}
    assert said == ["1 of the trials that had failed succeeded now"]


def test_another_space_is_refused(tmp_path):
    run(tmp_path / "a.study")
    other = space().graph.clone()
    other.choices = dict(reversed(other.choices.items()))
    with pytest.raises(StudyError, match="its space synthetic is not the one that there is now"):
        run_search(SETTINGS, tmp_path / "a.study", SearchSpace(other), InProcess(Recorded()), resume=True)


def test_json_says_everything(tmp_path):
    result = run(tmp_path / "a.study", measure_top=slower([1.1] * 60))
    data = json.loads(json.dumps(result.to_json(trials=True)))
    assert data["winner"]["file"] == str(tmp_path / "a-winner.nir")
    assert data["winner"]["measured_at_the_end"][0]["error"] == pytest.approx(1 / 1.1 - 1)
    assert data["winner"]["decisions"].keys() <= space().choices.keys()
    assert data["ended"] == len(data["all_trials"]) == 60
    assert data["settings"]["constraints"] == ["params<=600k"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"objective": "sofft"}, "unknown objective"),
        ({"constraints": ("params<3M",)}, "is no constraint"),
        ({"controller": "nobody"}, "unknown controller"),
        ({"preset": "nobody"}, "unknown preset"),
        ({"latency_ns": {"arm": 1e6}}, "a latency is given for arm; the targets are: cpu"),
        ({"give_up": 1.0}, "give-up is 1.0"),
        ({"trials": 0}, "trials is 0"),
    ],
)
def test_bad_settings_leave_no_study(tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "a.study", replace(SETTINGS, **change))
    assert not (tmp_path / "a.study").exists()
