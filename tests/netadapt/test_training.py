"""Proposals that are really trained, and the whole way on digits with a made-up target."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from nascompiler import api
from nascompiler.backends.errors import GateError
from nascompiler.data.dataset import Dataset
from nascompiler.data.load import load_dataset
from nascompiler.ir import UsageError, files, graph_cost
from nascompiler.netadapt.report import save_report
from nascompiler.netadapt.result import AdaptResult
from nascompiler.netadapt.run import adapt, executor_of
from nascompiler.netadapt.scratch import with_new_weights
from nascompiler.netadapt.tuning import ProposalTrainer, fine_tuned, short_recipe
from nascompiler.passes import run_pipeline
from nascompiler.search.executors import InProcess
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.study import Study
from nascompiler.search.trial import TrialSpec
from nascompiler.training.presets import recipe_for
from tests.netadapt.parts import SETTINGS, Toy, cannot_run, network


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits")


def test_the_same_trial_gives_the_same_network(tmp_path, data):
    files.save(network(), tmp_path / "networks" / "0.nir")
    trial = TrialSpec(4, (0, 2, 20), network(), 77)
    texts, accuracies = [], []
    for _ in range(2):
        found = ProposalTrainer(tmp_path, data, short_recipe({}), 5).evaluate(trial)
        accuracies.append(found.accuracy)
        texts.append(str(files.load(tmp_path / "proposals" / "4.nir")))
    assert accuracies[0] == accuracies[1] == found.curve[-1]
    assert texts[0] == texts[1]
    assert found.parameters < graph_cost(network()).params


def test_a_vector_without_groups_is_the_network_itself(tmp_path, data):
    files.save(network(), tmp_path / "networks" / "0.nir")
    found = ProposalTrainer(tmp_path, data, short_recipe({}), 5).evaluate(TrialSpec(0, (0,), network(), 1))
    assert 0 <= found.accuracy <= 1
    assert not (tmp_path / "proposals").exists()


def test_no_number_is_a_failure(tmp_path, data):
    files.save(network(), tmp_path / "networks" / "0.nir")
    trainer = ProposalTrainer(tmp_path, data, short_recipe({"learning_rate": 1e30}), 10)
    with pytest.raises(TrialFailure) as failed:
        trainer.evaluate(TrialSpec(4, (0, 2, 20), network(), 77))
    assert failed.value.failure_class is FailureClass.DIVERGED


def test_many_steps_are_whole_epochs(data):
    small = replace(data, train=data.train.head(100))
    _, curve = fine_tuned(network(), small, short_recipe({"batch_size": 32}), 9, seed=0)
    assert len(curve) == 3


def test_new_weights_keep_nothing_but_the_shape():
    old, new = network(), with_new_weights(network(), 3)
    assert [n.op.name for n in old.nodes] == [n.op.name for n in new.nodes]
    assert str(new) == str(with_new_weights(network(), 3)) != str(with_new_weights(network(), 4))
    for before, after in zip(old.nodes, new.nodes, strict=True):
        assert [v.type for v in before.operands] == [v.type for v in after.operands]
        if after.op.name == "nn.batch_norm":
            assert [float(v.array.mean()) for v in after.operands[1:]] == [1, 0, 0, 1]


def test_from_an_architecture_to_a_trained_narrow_network(tmp_path, data):
    recipe = replace(recipe_for("default", data), epochs=1)
    settings = replace(SETTINGS, steps=4, step=0.15, decay=1.0, train=recipe.to_json())
    architecture = api.load("tests/netadapt/small.nir")
    epochs, folder = [], tmp_path / "out"

    def run(resume, settings=settings):
        trainer = ProposalTrainer(folder, data, short_recipe({}), 4)
        return adapt(
            settings,
            lambda: architecture,
            data,
            folder,
            InProcess(trainer),
            resume=resume,
            sources={"toy": Toy()},
            measure=cannot_run,
            on_epoch=lambda what, epoch, total: epochs.append((what, epoch.number, total)),
        )

    result = run(False)
    result.check()
    assert [what for what, *_ in epochs] == ["the network as it is given", "the last network"]
    assert result.final is not None
    assert result.final.test_accuracy is not None
    assert result.path == folder / "final.nir"
    assert files.load(result.path).outputs[0].type.shape == (1, 10)
    assert sum(width.after < width.before for width in result.widths) >= 1
    assert run(True).final == result.final  # nothing is done twice
    assert len(epochs) == 2

    save_report(result, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").split("<h2>")[-1]
    inside = page.split('id="report">')[1].split("</script>")[0].replace("<\\/", "</")
    assert json.loads(inside)["meets_budgets"] is True

    with pytest.raises(UsageError, match="exists; continue it with --resume"):
        run(False)
    with Study.read(folder / "netadapt.study") as study:
        stricter = replace(AdaptResult.of(study), start=replace(result.start, bounds={"toy": 1.0}))
    with pytest.raises(GateError, match=r"the budget was missed: .* takes .* of toy, asked for 1ns"):
        stricter.check()


@pytest.mark.slow  # processes that import torch
@pytest.mark.parametrize("address", [None, "local"], ids=["processes", "ray"])
def test_workers_choose_what_one_process_does(tmp_path, data, address):
    if address is not None:
        pytest.importorskip("ray")
    settings = replace(SETTINGS, steps=4, step=0.15, decay=1.0, parallel=2)
    texts = []
    for parallel in (False, True):
        folder = tmp_path / str(parallel)
        alone = InProcess(ProposalTrainer(folder, data, short_recipe({}), 4))
        with closing(executor_of(settings, folder, data, address) if parallel else alone) as executor:
            result = adapt(settings, network, data, folder, executor, sources={"toy": Toy()}, measure=cannot_run)
        texts.append(str(files.load(result.path)))
    assert texts[0] == texts[1]


def test_an_architecture_needs_a_recipe(tmp_path, data):
    trainer = ProposalTrainer(tmp_path, data, short_recipe({}), 4)
    with pytest.raises(UsageError, match="is an architecture without weights"):
        adapt(
            SETTINGS,
            lambda: api.load("tests/netadapt/small.nir"),
            data,
            tmp_path / "out",
            InProcess(trainer),
            sources={"toy": Toy()},
            measure=cannot_run,
        )


def test_quantised_networks_are_refused(tmp_path, data):
    quantized = run_pipeline(network(), "fold-batch-norm,quantize{samples=1}")
    trainer = ProposalTrainer(tmp_path, data, short_recipe({}), 4)
    with pytest.raises(UsageError, match="is quantised; netadapt takes float networks"):
        adapt(
            SETTINGS,
            lambda: quantized,
            data,
            tmp_path / "out",
            InProcess(trainer),
            sources={"toy": Toy()},
            measure=cannot_run,
        )


def test_what_does_not_fit_the_data(tmp_path, data):
    trainer = ProposalTrainer(tmp_path, data, short_recipe({}), 4)
    larger = replace(data, classes=(*data.classes, "ten"))
    with pytest.raises(UsageError, match="does not fit the data set digits"):
        adapt(
            SETTINGS, network, larger, tmp_path / "out", InProcess(trainer), sources={"toy": Toy()}, measure=cannot_run
        )


def test_unknown_settings_of_the_recipe():
    with pytest.raises(UsageError, match="unknown setting of a recipe"):
        short_recipe({"speed": 2})
