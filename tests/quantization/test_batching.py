from __future__ import annotations

import numpy as np

from nascompiler.ir import Builder, evaluate
from nascompiler.quantization.batching import MOST, fitting_batch, rebatched, stacked
from tests.quantization.classifiers import classifier, images, quantized_classifier


def test_a_batch_gives_what_its_samples_give() -> None:
    for graph in (classifier(), quantized_classifier().graph):
        larger = rebatched(graph, 3)
        assert larger is not None
        samples = images(3)
        (batch,) = stacked(samples, 3)
        found = evaluate(larger, batch)["scores"]
        single = [evaluate(graph, sample)["scores"] for sample in samples]
        np.testing.assert_allclose(found, np.concatenate(single), rtol=1e-5, atol=1e-6)


def test_a_network_that_mixes_samples_is_left_alone() -> None:
    b = Builder("mixing")
    x = b.input("x", (1, 4))
    graph = b.outputs(y=b.nn.add(x, b.nn.reduce_mean(x, axes=(0,), keepdims=True)))
    assert rebatched(graph, 4) is None


def test_a_batch_that_is_written_into_the_network_is_left_alone() -> None:
    b = Builder("flat")
    x = b.input("x", (1, 4))
    assert rebatched(b.outputs(y=b.nn.reshape(x, shape=(4,))), 4) is None
    b = Builder("two")
    assert rebatched(b.outputs(y=b.nn.relu(b.input("x", (2, 4)))), 4) is None
    assert rebatched(classifier(), 1) is None


def test_the_last_batch_may_be_smaller() -> None:
    sizes = [len(batch["image"]) for batch in stacked(images(7), 3)]
    assert sizes == [3, 3, 1]


def test_small_networks_get_large_batches() -> None:
    assert fitting_batch(classifier()) == MOST
    assert fitting_batch(classifier(size=256)) == 4
