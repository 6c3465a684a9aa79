from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import evaluate
from nascompiler.quantization.reevaluation import Reevaluation
from tests.quantization.classifiers import classifier, images, quantized_classifier


@pytest.mark.parametrize("part", ["prepared", "fake", "graph"])
def test_values_are_those_of_the_evaluator(part: str) -> None:
    graph = getattr(quantized_classifier(), part)
    (sample,) = images(1, seed=5)
    seen = {}
    expected = evaluate(graph, sample, observe=lambda value, array: seen.__setitem__(value, array))
    again = Reevaluation(graph)
    values = again.values(sample)
    np.testing.assert_array_equal(again.outputs(values)["scores"], expected["scores"])
    for value, array in values.items():
        np.testing.assert_array_equal(array, seen.get(value, sample["image"]))
    observed = {}
    again.observe(sample, lambda value, array: observed.__setitem__(value, array))
    assert observed.keys() == values.keys()


def test_a_change_reaches_what_depends_on_it_and_nothing_else() -> None:
    graph = classifier()
    again = Reevaluation(graph)
    values = again.values(images(1)[0])
    for node in graph.nodes:
        changed = {node.result: values[node.result] * np.float32(1.5)}
        found = again.outputs_with(values, changed)["scores"]
        copy, mapped = graph.clone_with_map()
        constant = copy.constant(changed[node.result])
        copy.replace_all_uses(mapped[node.result], constant)
        np.testing.assert_array_equal(found, evaluate(copy, images(1)[0])["scores"])


def test_no_change_gives_the_known_outputs() -> None:
    again = Reevaluation(classifier())
    values = again.values(images(1)[0])
    assert again.outputs_with(values, {})["scores"] is again.outputs(values)["scores"]
