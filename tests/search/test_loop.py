import pytest

from nascompiler.search.errors import SearchError, StudyError
from nascompiler.search.executors import InProcess
from nascompiler.search.failures import FailureClass
from nascompiler.search.floors import FloorRule
from nascompiler.search.loop import Plan, Search
from nascompiler.search.study import Study
from tests.search.recorded import OBJECTIVE, Recorded, Shuffled
from tests.search.synthetic import space, worths


def searched(path, plan, *, evaluator=None, executor=None, resume=False, listener=lambda progress: None):
    """Run the loop on a study; what the file holds then."""
    study = Study.resume(path) if resume else Study.create(path, {})
    with study:
        study.begin_session({})
        search = Search(space(), OBJECTIVE, study, executor or InProcess(evaluator or Recorded()), plan, listener)
        search.run()
    with Study.read(path) as study:
        return study.trials()


def told(records):
    return [(record.vector, record.told, record.repeats) for record in records]


@pytest.mark.parametrize("controller", ["ppo", "evolution", "random"])
def test_everything_is_written_down(tmp_path, controller):
    records = searched(tmp_path / "s", Plan(controller, "small", 1, 40))
    assert [record.number for record in records] == list(range(40))
    for record in records:
        accuracy, ns = worths()[record.vector]
        assert record.evaluation.accuracy == accuracy
        assert record.evaluation.latencies["cpu"].ns == ns
        assert record.told == pytest.approx(accuracy * (ns / 4e6) ** -0.07)
        assert record.status == "evaluated"


@pytest.mark.parametrize("controller", ["ppo", "evolution"])
def test_the_order_in_which_trials_end_changes_nothing(tmp_path, controller):
    plan = Plan(controller, "small", 1, 60, in_flight=4)
    first, *others = (searched(tmp_path / str(seed), plan, executor=Shuffled(Recorded(), 4, seed)) for seed in range(3))
    assert all(told(other) == told(first) for other in others)


def test_an_architecture_is_evaluated_once(tmp_path):
    evaluator = Recorded()
    records = searched(tmp_path / "s", Plan("ppo", "small", 1, 300), evaluator=evaluator)
    repeated = [record for record in records if record.repeats is not None]
    assert repeated
    assert len(evaluator.evaluated) + len(repeated) == 300
    assert len({record.vector for record in records}) == len(evaluator.evaluated)
    for record in repeated:
        assert records[record.repeats].vector == record.vector
        assert record.evaluation == records[record.repeats].evaluation


def test_more_trials_can_be_asked_for_later(tmp_path):
    for trials, resume in ((30, False), (70, True)):
        records = searched(tmp_path / "a", Plan("evolution", "small", 1, trials), resume=resume)
    assert len(records) == 70
    assert told(records) == told(searched(tmp_path / "b", Plan("evolution", "small", 1, 70)))


def test_nothing_is_evaluated_when_all_is_there(tmp_path):
    plan = Plan("ppo", "small", 1, 60)
    before = searched(tmp_path / "s", plan)
    evaluator = Recorded()
    assert searched(tmp_path / "s", plan, evaluator=evaluator, resume=True) == before
    assert evaluator.evaluated == []


def test_another_number_in_flight_may_be_taken_on_resuming(tmp_path):
    searched(tmp_path / "s", Plan("evolution", "small", 1, 77, in_flight=5))
    records = searched(tmp_path / "s", Plan("evolution", "small", 1, 130, in_flight=2), resume=True)
    assert records[76].told_before == 72
    assert records[129].told_before == 128


def test_failures_that_may_pass_are_tried_again_with_the_same_seed(tmp_path):
    seeds = {}

    def failing(trial):
        seeds.setdefault(trial.number, []).append(trial.seed)
        return FailureClass.CRASH if trial.number == 3 and len(seeds[3]) < 3 else None

    records = searched(tmp_path / "s", Plan("random", "small", 1, 10), evaluator=Recorded(failing))
    assert len(seeds[3]) == 3
    assert len(set(seeds[3])) == 1
    assert records[3].status == "evaluated"
    assert [failure.failure_class for failure in records[3].failures] == [FailureClass.CRASH] * 2
    assert [record.told for record in records] == [
        record.told for record in searched(tmp_path / "t", Plan("random", "small", 1, 10))
    ]


@pytest.mark.parametrize("failure, attempts", [(FailureClass.CRASH, 3), (FailureClass.DIVERGED, 1)])
def test_a_failed_trial_is_worth_nothing_and_the_search_goes_on(tmp_path, failure, attempts):
    evaluator = Recorded(lambda trial: failure if trial.number == 4 else None)
    records = searched(tmp_path / "s", Plan("ppo", "small", 1, 30), evaluator=evaluator)
    assert (records[4].status, records[4].told, len(records[4].failures)) == ("failed", 0.0, attempts)
    assert records[4].failure.failure_class is failure
    assert [record.status for record in records].count("evaluated") == 29


def test_failed_trials_can_be_run_once_more(tmp_path):
    evaluator = Recorded(lambda trial: FailureClass.BUILD if trial.number % 3 == 0 else None)
    before = searched(tmp_path / "s", Plan("evolution", "small", 1, 60), evaluator=evaluator)
    with Study.resume(tmp_path / "s") as study:
        study.begin_session({})
        search = Search(space(), OBJECTIVE, study, InProcess(Recorded()), Plan("evolution", "small", 1, 60))
        search.run()
        assert search.retry([FailureClass.CRASH]) == 0
        assert search.retry([FailureClass.BUILD]) == 20
    after = searched(tmp_path / "s", Plan("evolution", "small", 1, 90), resume=True)
    assert [record.status for record in after] == ["evaluated"] * 90
    assert [record.told for record in after[:60]] == [record.told for record in before]


def test_a_search_in_which_all_fails_ends_with_the_cause(tmp_path):
    evaluator = Recorded(lambda trial: FailureClass.BUILD if trial.number % 2 else FailureClass.DIVERGED)
    with pytest.raises(
        SearchError, match=r"first 8 trials all failed .4 × diverged, 4 × build.*trial 7 was told to fail"
    ):
        searched(tmp_path / "s", Plan("random", "small", 1, 30), evaluator=evaluator)
    with Study.read(tmp_path / "s") as study:
        assert len(study.trials()) == 8


def test_a_controller_that_asks_for_something_else_is_refused(tmp_path):
    searched(tmp_path / "s", Plan("random", "small", 1, 30))
    with Study.resume(tmp_path / "s") as study:
        study._db.execute("DELETE FROM checkpoint")
        search = Search(space(), OBJECTIVE, study, InProcess(Recorded()), Plan("random", "small", 2, 60))
        with pytest.raises(StudyError, match="trial 0 is not the one that the controller asks for now"):
            search.run()


def test_floors_come_from_what_was_told_before_the_trial_was_asked_for(tmp_path):
    floors = {}

    class Noting(Recorded):
        def evaluate(self, trial):
            floors[trial.number] = trial.floors
            return super().evaluate(trial)

    plan = Plan("random", "small", 1, 40, in_flight=3, floor_rule=FloorRule(0.5, children=10))
    records = searched(tmp_path / "s", plan, executor=Shuffled(Noting(), 3, 0))
    assert all(floors[number] == () for number in range(10))
    curves = sorted(record.evaluation.curve[0] for record in records[: records[30].told_before])
    assert floors[30][0] == pytest.approx(curves[len(curves) // 2], abs=1e-2)
    assert len(floors[30]) == 2


def test_progress_is_told_after_every_trial(tmp_path):
    seen = []
    evaluator = Recorded(lambda trial: FailureClass.BUILD if trial.number == 2 else None)
    searched(tmp_path / "s", Plan("random", "small", 1, 12), evaluator=evaluator, listener=seen.append)
    assert [progress.told for progress in seen] == list(range(13))
    assert seen[0].left_s is None
    assert seen[-1].left_s == 0
    assert seen[-1].failures == {"build": 1}
    best = max(seen[1:], key=lambda progress: progress.latest.told).latest
    assert seen[-1].best.number == best.number
