import pytest

from nascompiler.backends.measure import Kind
from nascompiler.ir import UsageError
from nascompiler.search.constraints import parse_constraints
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.objective import Exponents, Objective
from nascompiler.search.units import parse_duration_ns


def evaluation(accuracy=0.5, *, params=2_000_000, macs=10_000_000, **latencies_ms):
    latencies = {name: TargetLatency(ms * 1e6, Kind.MEASURED) for name, ms in (latencies_ms or {"cpu": 80}).items()}
    return Evaluation(accuracy, latencies, params, macs)


@pytest.mark.parametrize(
    "objective, latency_ms, expected",
    [
        ("soft", 80, 0.5),
        ("soft", 160, 0.5 * 2**-0.07),
        ("soft", 40, 0.5 * 2**0.07),
        ("hard", 40, 0.5),
        ("hard", 160, 0.25),
        ("steep", 160, 0.5 * 2**-0.15),
        ("accuracy", 160, 0.5),
        ("-0.1", 160, 0.5 * 2**-0.1),
        ("-0.02,-0.5", 40, 0.5 * 2**0.02),
        ("-0.02,-0.5", 160, 0.5 * 2**-0.5),
    ],
)
def test_weighted_product(objective, latency_ms, expected):
    reward = Objective(Exponents.parse(objective), {"cpu": 80e6}).reward(evaluation(cpu=latency_ms))
    assert reward == pytest.approx(expected)


def test_twice_the_latency_for_five_percent_more_accuracy_is_worth_the_same():
    objective = Objective(Exponents.parse("soft"), {"cpu": 80e6})
    slower = objective.reward(evaluation(0.5 * 1.05, cpu=160))
    assert slower == pytest.approx(objective.reward(evaluation(0.5, cpu=80)), rel=2e-3)


def test_several_targets_multiply():
    objective = Objective(Exponents.parse("soft"), {"cpu": 80e6, "arm": 10e6})
    assert objective.reward(evaluation(cpu=160, arm=40)) == pytest.approx(0.5 * 2**-0.07 * 4**-0.07)
    assert objective.slower_than_wanted(evaluation(cpu=160, arm=4)) == ["cpu"]


@pytest.mark.parametrize(
    "constraint, holds",
    [
        ("latency<=80ms", True),
        ("latency<=0.079s", False),
        ("latency[cpu]<=80000us", True),
        ("params<=2M", True),
        ("params <= 1.9M", False),
        ("macs<=10000k", True),
        ("macs<=9e6", False),
        ("accuracy>=0.5", True),
        ("accuracy>=0.51", False),
    ],
)
def test_hard_constraints(constraint, holds):
    objective = Objective(Exponents.parse("accuracy"), {}, parse_constraints([constraint], ["cpu"]))
    assert objective.reward(evaluation()) == (0.5 if holds else 0.0)
    assert [str(missed) for missed in objective.missed(evaluation())] == [] if holds else [constraint]


def test_a_constraint_without_target_bounds_all_of_them():
    (constraint,) = parse_constraints(["latency<=50ms"], ["cpu", "arm"])
    assert constraint.holds(evaluation(cpu=50, arm=40))
    assert not constraint.holds(evaluation(cpu=40, arm=60))


def test_untrained_is_worth_nothing():
    objective = Objective(Exponents.parse("soft"), {"cpu": 80e6}, parse_constraints(["accuracy>=0.1"], []))
    assert objective.missed(evaluation(None)) == []
    assert objective.reward(evaluation(None)) == 0


@pytest.mark.parametrize(
    "text, message",
    [
        ("latency<=25", "no latency.*its unit"),
        ("latency<=ms", "no latency"),
        ("latency<=0ms", "above 0"),
        ("latency<25ms", "is no constraint; accepted: latency<=25ms"),
        ("latency=25ms", "is no constraint"),
        ("latency>=25ms", "latency takes <="),
        ("accuracy<=0.5", "accuracy takes >="),
        ("accuracy>=70", "0 to 1"),
        ("size<=3M", "'size', which is not known"),
        ("params<=3X", "is no count"),
        ("params[cpu]<=3M", "only a latency has a target"),
        ("latency[gpu]<=3ms", "'gpu' is not among the targets: cpu"),
        ("", "is no constraint"),
    ],
)
def test_malformed_constraints(text, message):
    with pytest.raises(UsageError, match=message):
        parse_constraints([text], ["cpu"])


def test_everything_wrong_is_said_at_once():
    with pytest.raises(UsageError, match=r"'a' is no constraint.*'b' is no constraint"):
        parse_constraints(["a", "params<=3M", "b"], ["cpu"])
    with pytest.raises(UsageError, match="no target is given"):
        parse_constraints(["latency<=3ms"], [])


@pytest.mark.parametrize("text", ["sofft", "0.1", "-0.1,0.2", "-0.1,-0.2,-0.3", "", "nan"])
def test_malformed_objectives(text):
    with pytest.raises(UsageError, match=r"accepted: .*(soft|0 and below)"):
        Exponents.parse(text)


@pytest.mark.parametrize("text, ns", [("25ms", 25e6), ("1.5s", 1.5e9), ("3 us", 3e3), ("7µs", 7e3), ("9ns", 9.0)])
def test_durations(text, ns):
    assert parse_duration_ns(text) == ns
