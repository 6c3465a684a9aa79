"""attach-auxiliary-head: where it goes, how large it is, and what is refused."""

from __future__ import annotations

import pytest

from nascompiler import zoo
from nascompiler.ir import Graph, ModelError
from nascompiler.ir.cost import parameters
from nascompiler.passes import run_pipeline


def parameters_of(graph: Graph) -> int:
    return sum(value.type.size for value in parameters(graph))


RANDOM = "expand-cells{statistics=random}"


@pytest.mark.parametrize(("name", "parameters"), [("nasnet-a-cifar", 1_631_498), ("nasnet-a-mobile", 2_411_240)])
def test_parameters_are_those_of_the_released_code(name: str, parameters: int) -> None:
    architecture = zoo.load(name)
    alone = parameters_of(run_pipeline(architecture, RANDOM))
    both = parameters_of(run_pipeline(architecture, f"attach-auxiliary-head,{RANDOM}"))
    assert both - alone == parameters


def test_it_stands_before_the_second_reduction() -> None:
    graph = run_pipeline(zoo.load("nasnet-a-cifar"), "attach-auxiliary-head")
    (head,) = [node for node in graph.nodes if node.op.name == "arch.auxiliary_classifier"]
    assert head.operands[0].name == "stack2"
    assert graph.output_names == ["logits", "auxiliary"]


def test_small_images() -> None:
    graph = run_pipeline(
        zoo.load("mobilenet-v2"), f"set-resolution{{size=32}},attach-head{{head=classifier,classes=10}},"
        f"attach-auxiliary-head,{RANDOM}"
    )  # fmt: skip
    assert [value.type.shape for value in graph.outputs] == [(1, 10), (1, 10)]


def test_what_is_refused() -> None:
    graph = run_pipeline(zoo.load("nasnet-a-cifar"), "attach-auxiliary-head")
    with pytest.raises(ModelError, match="already has an output 'auxiliary'"):
        run_pipeline(graph, "attach-auxiliary-head")
    with pytest.raises(ModelError, match="has 0 classifiers"):
        run_pipeline(zoo.load("mlp0"), "attach-auxiliary-head")
