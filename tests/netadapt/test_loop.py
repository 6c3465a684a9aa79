"""The loop on a target that it knows by the measuring interface only."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from nascompiler.backends.errors import GateError
from nascompiler.backends.measure import Kind
from nascompiler.ir import UsageError, evaluate, graph_cost, parse
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import channel_structure
from nascompiler.netadapt.budgets import parse_budgets
from nascompiler.netadapt.folder import Folder
from nascompiler.netadapt.records import step_of
from nascompiler.netadapt.result import AdaptResult
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import random_inputs
from nascompiler.search.errors import SearchError
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.study import Study
from nascompiler.search.trial import TrialSpec
from tests.netadapt.parts import SETTINGS, Judged, Toy, adaptation, last, network, said


def budgets(*latencies, sizes=(), targets=("toy",)):
    return parse_budgets(list(latencies), list(sizes), list(targets))


def test_the_budget_is_met_step_by_step(tmp_path):
    reports = []
    found = adaptation(tmp_path, listener=reports.append)
    original = found[0].values["toy"]
    assert found[-1].values["toy"] <= 0.6 * original < found[-2].values["toy"]
    assert [i.number for i in found] == list(range(len(found)))
    for before, after in pairwise(found):
        step = SETTINGS.step_part(before.number) * original
        goal = max(0.6 * original, before.values["toy"] - step)
        assert after.values["toy"] <= goal
        changed = [a != b for a, b in zip(before.channels, after.channels, strict=True)]
        assert any(changed)
        assert all(a >= b for a, b in zip(before.channels, after.channels, strict=True))
    graph = last(tmp_path)
    assert Toy().latency(_trial(graph)).ns == pytest.approx(found[-1].values["toy"])
    assert evaluate(graph, random_inputs(graph, 0))["logits"].shape == (1, 10)
    assert [group.length for group in channel_structure(graph).groups] == list(found[-1].channels)
    assert reports[0].left > 0
    assert reports[-1].left == 0
    assert reports[-1].iterations == tuple(found)
    assert not (tmp_path / "proposals").exists()


def _trial(graph):
    return TrialSpec(0, (), graph, 0)


def test_every_proposal_meets_the_goal_with_as_many_channels_as_possible(tmp_path):
    adaptation(tmp_path)
    structure = channel_structure(network())
    with Study.read(tmp_path / "netadapt.study") as study:
        step = step_of(study, 0)
    assert {p.name.split()[0] for p in step.proposals} == {"expansion", "bottleneck"}
    for proposal in step.proposals:
        assert proposal.values["toy"] <= step.goals["toy"]
        more = {g: min(c + 4, structure.groups[g].length) for g, c in proposal.counts.items()}
        wider = without_channels(structure, {g: range(c) for g, c in more.items()})
        assert Toy().latency(_trial(wider)).ns > step.goals["toy"], proposal


def test_the_ratio_and_the_accuracy_choose_differently(tmp_path):
    by_ratio = adaptation(tmp_path / "ratio")
    by_accuracy = adaptation(tmp_path / "accuracy", replace(SETTINGS, rule="accuracy"))
    with Study.read(tmp_path / "ratio" / "netadapt.study") as study:
        step, trials = step_of(study, 0), study.trials()
    offers = [(p, trials[step.first + i].evaluation.accuracy) for i, p in enumerate(step.proposals)]
    now = by_ratio[0]

    def ratio(offer):
        return (offer[1] - now.accuracy) / (now.values["toy"] - offer[0].values["toy"])

    assert by_ratio[1].name == max(offers, key=ratio)[0].name
    assert by_accuracy[1].name == max(offers, key=lambda offer: offer[1])[0].name


def test_several_budgets_hold_together(tmp_path):
    settings = replace(SETTINGS, budgets=budgets("0.7x", sizes=["params<=0.75x", "macs<=0.9x"]))
    found = adaptation(tmp_path, settings)
    first, end = found[0], found[-1]
    assert end.values["toy"] <= 0.7 * first.values["toy"]
    assert end.values["params"] <= 0.75 * first.values["params"]
    assert end.values["macs"] <= 0.9 * first.values["macs"]
    cost = graph_cost(last(tmp_path))
    assert (end.values["params"], end.values["macs"]) == (cost.params, cost.macs)


def test_bottlenecks_of_one_size_shrink_together(tmp_path):
    settings = replace(SETTINGS, proposals="mobilenet-v3")
    adaptation(tmp_path, settings)
    with Study.read(tmp_path / "netadapt.study") as study:
        result = AdaptResult.of(study)
    names = [each.name for each in result.start.shrinkables if each.sort.value == "bottleneck"]
    assert names == ["bottleneck of stem.conv to b1.project", "bottleneck of b2.project to b3.project"]


def test_layers_are_proposed_alone(tmp_path):
    adaptation(tmp_path, replace(SETTINGS, proposals="layers"))
    with Study.read(tmp_path / "netadapt.study") as study:
        result = AdaptResult.of(study)
    assert all(len(each.groups) == 1 and not each.followers for each in result.start.shrinkables)
    assert "squeeze" in {each.sort.value for each in result.start.shrinkables}
    assert [width.before for width in result.widths] == [
        result.start.channels[each.groups[0]] for each in result.start.shrinkables
    ]
    result.check()


# -- figures by table and end to end


def test_the_end_is_measured_and_figures_put_right(tmp_path):
    """By table the network is 0.6x too early: end to end it takes 10 % more, which is put right."""
    toy = Toy()
    asked = []

    def measure(graphs, target):
        asked.append(sorted(graphs))
        slower = {name: 1.0 if name == "0" else 1.1 for name in graphs}
        return {n: TargetLatency(2 * slower[n] * toy.latency(_trial(g)).ns, Kind.MEASURED) for n, g in graphs.items()}

    found = adaptation(tmp_path, measure=measure)
    assert asked[0] == ["0"]
    assert all(names == ["0", "now"] for names in asked[1:])
    assert len(asked) >= 3  # at first it was too slow
    end = found[-1]
    assert end.measured["toy"].ns == end.values["toy"] <= 0.6 * found[0].measured["toy"].ns
    assert end.values["toy"] == pytest.approx(2.2 * toy.latency(_trial(last(tmp_path))).ns)
    early = [i for i in found if i.measured and i.values["toy"] > 0.6 * found[0].values["toy"]]
    assert early[0].number == 0
    assert len(early) >= 2


# -- failures


def test_proposals_that_fail_are_left_out(tmp_path):
    def failing(trial):
        return TrialFailure(FailureClass.DIVERGED, "no number") if trial.number % 2 else None

    found = adaptation(tmp_path, evaluator=Judged(tmp_path, failing))
    assert found[-1].values["toy"] <= 0.6 * found[0].values["toy"]
    assert all(i.trial is None or i.trial % 2 == 0 for i in found)


def test_failures_that_may_pass_are_tried_again(tmp_path):
    seen = []

    def failing(trial):
        seen.append(trial.number)
        return TrialFailure(FailureClass.CRASH, "gone") if seen.count(trial.number) == 1 else None

    found = adaptation(tmp_path / "a", evaluator=Judged(tmp_path / "a", failing))
    assert said(found) == said(adaptation(tmp_path / "b"))


def test_a_step_in_which_all_fail_ends_with_the_last_good_network(tmp_path):
    def failing(trial):
        return TrialFailure(FailureClass.DIVERGED, "no number") if trial.vector[0] == 2 else None

    with pytest.raises(SearchError, match=r"all \d+ proposals of iteration 3 failed.*diverged: no number.*2\.nir"):
        adaptation(tmp_path, evaluator=Judged(tmp_path, failing))
    assert Folder(tmp_path).network(2).exists()
    evaluate(last(tmp_path), random_inputs(last(tmp_path), 0))


def test_a_budget_below_everything_is_refused_at_once(tmp_path):
    settings = replace(SETTINGS, budgets=budgets("1.2us"))
    with pytest.raises(UsageError, match=r"no proposals reach toy 1\.2us: .* takes 1\.2\d+us"):
        adaptation(tmp_path, settings)
    assert Folder(tmp_path).network(0).exists()


def test_steps_that_nothing_can_take_are_smaller(tmp_path):
    settings = replace(SETTINGS, budgets=budgets("0.6x"), step=0.4, decay=1.0)
    found = adaptation(tmp_path, settings)
    assert found[-1].values["toy"] <= 0.6 * found[0].values["toy"]
    with Study.read(tmp_path / "netadapt.study") as study:
        assert step_of(study, 0).part < 0.4


def test_a_budget_that_measurements_put_out_of_reach(tmp_path):
    """By table it is met; end to end nothing becomes faster, so there is no proposal left at some point."""

    def measure(graphs, target):
        return {name: TargetLatency(9000.0, Kind.MEASURED) for name in graphs}

    with pytest.raises(GateError, match=r"no proposal takes another step; .* toy .*; the last good one is .*\.nir"):
        adaptation(tmp_path, measure=measure)
    evaluate(last(tmp_path), random_inputs(last(tmp_path), 0))


def test_nothing_to_do(tmp_path):
    found = adaptation(tmp_path, replace(SETTINGS, budgets=budgets("1s")))
    assert len(found) == 1


def test_a_network_without_free_channels(tmp_path):
    text = "nir 1\ngraph @flat(%image: f32[1,8,8,3]) {family=plain} {\n"
    text += "  %logits = arch.classifier(%image) {classes=10}\n  return logits=%logits\n}\n"
    graph = run_pipeline(parse(text), "expand-cells{statistics=random}")
    with pytest.raises(UsageError, match=r"has no channels that could go .*\n  group 0 .*: graph input"):
        adaptation(tmp_path, graph=graph)
