"""annotate-drop-path: where paths may be dropped, and with which probability."""

from __future__ import annotations

import pytest

from nascompiler import zoo
from nascompiler.ir import ModelError, UsageError
from nascompiler.passes import run_pipeline

PIPELINE = "annotate-drop-path{keep=0.6, steps=937500},expand-cells"


def keeps(name: str, pipeline: str) -> dict[str, float]:
    """Keep probability by origin, in order."""
    graph = run_pipeline(zoo.load(name), pipeline)
    return {n.origin: n["keep_probability"] for n in graph.nodes if n.op.name == "nn.drop_path"}


def test_probabilities_fall_linearly_with_depth() -> None:
    """20 cells in 6 @ 768: of cell i (from 1) the keep probability is 1 - i / 20 * 0.4."""
    found = keeps("nasnet-a-cifar", PIPELINE)
    assert found["normal[0].b0.left"] == pytest.approx(1 - 1 / 20 * 0.4)
    assert found["reduction[0].b0.left"] == pytest.approx(1 - 7 / 20 * 0.4)
    assert found["normal[17].b0.left"] == pytest.approx(0.6)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_cells_of_the_stem_count() -> None:
    found = keeps("nasnet-a-large", "annotate-drop-path{keep=0.7},expand-cells")
    assert found["reduction[0].b0.left"] == pytest.approx(1 - 1 / 22 * 0.3)
    assert found["normal[17].b4.left"] == pytest.approx(0.7)


def test_every_operation_but_the_identity_may_be_dropped() -> None:
    edges = [origin for origin in keeps("nasnet-a-cifar", PIPELINE) if origin.startswith("normal[3].")]
    assert [e.partition(".")[2] for e in edges] == [
        "b0.left", "b0.right", "b1.left", "b1.right", "b2.left", "b3.left", "b3.right", "b4.left",
    ]  # fmt: skip


def test_the_schedule_in_time_is_noted() -> None:
    graph = run_pipeline(zoo.load("nasnet-a-cifar"), "annotate-drop-path{keep=0.6, steps=937500}")
    assert graph.attributes["drop_path_keep"] == 0.6
    assert graph.attributes["drop_path_steps"] == 937500


@pytest.mark.parametrize("pipeline", ["expand-cells", "annotate-drop-path{keep=1.0},expand-cells"])
def test_nothing_is_dropped_unless_asked_for(pipeline: str) -> None:
    assert keeps("nasnet-a-mobile", pipeline) == {}


@pytest.mark.parametrize("options", ["keep=0.0", "keep=1.5", "keep=0.5, steps=-1"])
def test_options_out_of_range(options: str) -> None:
    with pytest.raises(UsageError, match="accepted"):
        run_pipeline(zoo.load("nasnet-a-cifar"), f"annotate-drop-path{{{options}}}")


def test_an_architecture_without_cells() -> None:
    with pytest.raises(ModelError, match="mobilenet-v2 has no cells whose paths could be dropped"):
        run_pipeline(zoo.load("mobilenet-v2"), "annotate-drop-path{keep=0.6}")
