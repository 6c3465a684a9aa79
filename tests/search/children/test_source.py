"""Children: trained on digits, the same for the same seed, given up when they are hopeless."""

from dataclasses import replace

import pytest

from nascompiler.data.errors import DataError
from nascompiler.ir import Graph
from nascompiler.ir.text import parse
from nascompiler.search.children.proxy import Proxy
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.trial import TrialSpec
from nascompiler.training.recipe import Recipe

pytest.importorskip("torch")

from nascompiler.search.children.network import child_network
from nascompiler.search.children.source import TrainedAccuracy

RECIPE = Recipe(epochs=2, batch_size=32, learning_rate=0.02, warm_up_epochs=0.2, shift=0, fused=True)
PROXY = Proxy(train_images=400, recipe=RECIPE)

TEXT = """nir 1
graph @small(%image: f32[1,8,8,3]) {{family=mnasnet}} {{
  %stem = arch.conv(%image) {{filters={filters}, stride=2}}
  %block = arch.block(%stem) {{expansion=2.0, filters={filters}, kernel={kernel}}}
  %logits = arch.classifier(%block) {{classes=10}}
  return logits=%logits
}}
"""


def architecture(filters: int = 8, kernel: int = 3) -> Graph:
    return parse(TEXT.format(filters=filters, kernel=kernel))


def trial(**changes: object) -> TrialSpec:
    return replace(TrialSpec(0, (0, 1), architecture(), seed=1), **changes)


@pytest.fixture(scope="module")
def source() -> TrainedAccuracy:
    return TrainedAccuracy("digits", PROXY.to_json())


def test_the_same_trial_gives_the_same_accuracy(source: TrainedAccuracy) -> None:
    first, same, other = source.accuracy(trial()), source.accuracy(trial(number=7)), source.accuracy(trial(seed=2))
    assert (first.value, first.curve) == (same.value, same.curve)
    assert first.curve != other.curve
    assert first.value == first.curve[-1] > 0.3
    assert len(first.curve) == 2


def test_a_hopeless_child_is_given_up(source: TrainedAccuracy) -> None:
    with pytest.raises(TrialFailure, match="after epoch 1 of 2 the accuracy is 0") as caught:
        source.accuracy(trial(floors=(0.999,)))
    assert caught.value.failure_class is FailureClass.HOPELESS
    assert source.accuracy(trial(floors=(0.0, 0.0))).value > 0.3


def test_a_child_that_diverges_is_a_class_of_its_own() -> None:
    wild = replace(RECIPE, optimizer="sgd", learning_rate=1e30, warm_up_epochs=0.0)
    with pytest.raises(TrialFailure) as caught:
        TrainedAccuracy("digits", replace(PROXY, recipe=wild)).accuracy(trial())
    assert caught.value.failure_class is FailureClass.DIVERGED


def test_what_does_not_fit_shows_before_the_first_trial() -> None:
    with pytest.raises(DataError, match="it has 10 classes, and the proxy wants 11"):
        TrainedAccuracy("digits", Proxy(classes=11))


def test_children_inherit_from_the_one_most_alike(tmp_path) -> None:
    proxy = replace(PROXY, inherit=str(tmp_path / "weights"), recipe=replace(RECIPE, epochs=1))
    source = TrainedAccuracy("digits", proxy)
    first = source.accuracy(trial(vector=(0, 1)))
    source.accuracy(trial(vector=(1, 0), graph=architecture(filters=4)))
    third = source.accuracy(trial(vector=(0, 2), graph=architecture(kernel=5)))
    assert "parent" not in first.details
    assert third.details["parent"] == [0, 1]
    assert 0.5 < third.details["inherited"] <= 1
    assert third.value > first.value


def test_fewer_cells_and_channels() -> None:
    text = """nir 1
graph @cells(%image: f32[1,32,32,3]) {family=nasnet-cifar} {
  cell @normal(%current: f32[*], %previous: f32[*]) {
    %s2 = arch.combine(%current, %previous) {left=0, left_op=conv1, right=1, right_op=identity}
    %concat = arch.concat(%current, %previous, %s2) {mask=[2]}
    return output=%concat
  }
  %stem = arch.conv(%image) {filters=24, activation=none}
  %stack, %before = arch.stack(%stem) {cell=@normal, filters=8, repeats=6}
  %logits = arch.classifier(%stack) {classes=10}
  return logits=%logits
}
"""
    proxy = Proxy(cells=2, width=0.5)
    graph = child_network(parse(text), proxy, size=16, classes=4, seed=0)
    assert {node.origin.partition(".")[0] for node in graph.nodes if "normal" in node.origin} == {
        "normal[0]",
        "normal[1]",
    }
    assert graph.inputs[0].type.shape == (1, 16, 16, 3)
    assert graph.outputs[0].type.shape == (1, 4)
    (stem,) = [v for v in graph.constants if v.name == "stem.conv.weight"]
    assert stem.type.shape == (3, 3, 3, 12)
