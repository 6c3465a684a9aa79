"""Training learns, depends on its seed alone, and refuses data that do not fit."""

from dataclasses import replace

import numpy as np
import pytest

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.glyphs import CLASSES, SPLITS, glyphs
from nascompiler.ir import Builder, UsageError, evaluate, fingerprint
from nascompiler.passes import run_pipeline

torch = pytest.importorskip("torch")

from nascompiler.torch_bridge import to_module  # noqa: E402
from nascompiler.training.accuracy import evaluate_accuracy  # noqa: E402
from nascompiler.training.devices import training_device  # noqa: E402
from nascompiler.training.recipe import Recipe  # noqa: E402
from nascompiler.training.trainer import Diverged, module_run, train  # noqa: E402

SHORT = Recipe(epochs=1, batch_size=16, recolour=True)


@pytest.fixture(scope="module")
def few_glyphs():
    return Dataset("few", CLASSES, *(Split(*glyphs(32, split), Normalization()) for split in SPLITS))


@pytest.fixture(scope="module")
def stripes():
    """Two classes that a convolution tells apart: stripes across and along."""
    generator = np.random.default_rng(0)

    def split(count):
        labels = generator.integers(0, 2, count)
        stripes = np.where(np.arange(8) % 2, 200, 50).astype(np.uint8)[:, None] * np.ones((1, 8), np.uint8)
        images = np.stack([stripes.T if label else stripes for label in labels])[..., None].repeat(3, axis=3)
        return Split(images + generator.integers(0, 50, images.shape, np.uint8), labels, Normalization())

    return Dataset("stripes", ("across", "along"), split(128), split(32), split(32))


def small_network(size, classes, seed=0):
    builder = Builder("small")
    x = builder.arch.conv(builder.input("image", (1, size, size, 3)), name="stem", filters=8, stride=2)
    x = builder.arch.block(x, name="block", filters=8, expansion=2.0, se_ratio=0.25)
    builder.outputs(logits=builder.arch.classifier(x, name="logits", classes=classes))
    return run_pipeline(builder.graph, f"expand-cells{{seed={seed}}}")


def test_the_same_seed_gives_the_same_weights(few_glyphs):
    graph = small_network(64, 62)
    first, same, other = (fingerprint(train(graph, few_glyphs, SHORT, seed=seed).graph) for seed in (1, 1, 2))
    assert first == same != other


def test_the_graph_itself_is_left_alone(few_glyphs):
    graph = small_network(64, 62)
    before = fingerprint(graph)
    trained = train(graph, few_glyphs, SHORT)
    assert fingerprint(graph) == before != fingerprint(trained.graph)


def test_training_learns_and_tells_of_every_epoch(stripes):
    told = []
    recipe = Recipe(epochs=4, batch_size=16, learning_rate=0.02, shift=0)
    trained = train(small_network(8, 2), stripes, recipe, progress=told.append)
    assert trained.epochs == tuple(told)
    assert [epoch.number for epoch in told] == [1, 2, 3, 4]
    assert told[-1].loss < told[0].loss
    assert told[-1].held_out_accuracy > 0.9


def test_the_graph_computes_what_the_module_did(stripes):
    trained = train(small_network(8, 2), stripes, Recipe(epochs=1, batch_size=32, shift=0))
    image = next(stripes.test.batches(1))[0]
    (expected,) = evaluate(trained.graph, {"image": image}).values()
    np.testing.assert_allclose(module_run(to_module(trained.graph))(image), expected, rtol=1e-4, atol=1e-4)


def test_the_state_of_torch_is_left_alone(few_glyphs):
    torch.manual_seed(5)
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(small_network(64, 62), few_glyphs, SHORT)
    after = torch.random.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_data_that_do_not_fit_are_refused_with_every_reason(few_glyphs):
    with pytest.raises(UsageError, match="does not fit the data set few") as caught:
        train(small_network(32, 10), few_glyphs, SHORT)
    assert "accepted: one image [N, 64, 64, 3]" in str(caught.value)
    assert "accepted: logits [N, 62]" in str(caught.value)


def test_an_empty_training_set_is_refused(few_glyphs):
    empty = Dataset("none", CLASSES, few_glyphs.train.head(0), few_glyphs.held_out, few_glyphs.test)
    with pytest.raises(UsageError, match="none has no images to train on"):
        train(small_network(64, 62), empty, SHORT)


def test_an_auxiliary_head_is_trained_along_and_gone_in_the_end(stripes):
    builder = Builder("with-auxiliary")
    x = builder.arch.conv(builder.input("image", (1, 8, 8, 3)), name="stem", filters=8, stride=2)
    x = builder.arch.conv(x, name="last", filters=8, stride=2)
    builder.outputs(logits=builder.arch.classifier(x, name="logits", classes=2))
    graph = run_pipeline(builder.graph, "attach-auxiliary-head,expand-cells{seed=0}")
    recipe = Recipe(epochs=1, batch_size=32, shift=0, learning_rate=0.02)
    with_loss, without = (train(graph, stripes, replace(recipe, auxiliary=weight)) for weight in (0.4, 0.0))
    assert with_loss.graph.output_names == ["logits"]
    assert not any(value.name.startswith("auxiliary") for value in with_loss.graph.constants)
    assert fingerprint(with_loss.graph) != fingerprint(without.graph)
    assert with_loss.epochs[0].loss > without.epochs[0].loss


def test_averages_and_bounded_gradients(stripes):
    recipe = Recipe(epochs=6, batch_size=16, shift=0, optimizer="sgd", learning_rate=0.1, clip_norm=1.0, average=0.9)
    first, same = (train(small_network(8, 2), stripes, recipe) for _ in range(2))
    assert fingerprint(first.graph) == fingerprint(same.graph)
    assert first.epochs[-1].held_out_accuracy > 0.9
    accuracy = evaluate_accuracy(module_run(to_module(first.graph)), stripes.held_out)
    assert accuracy == first.epochs[-1].held_out_accuracy  # what was evaluated is what is kept


def test_training_that_diverges_says_so(stripes):
    recipe = Recipe(epochs=2, batch_size=16, shift=0, optimizer="sgd", learning_rate=1e30, warm_up_epochs=0)
    with pytest.raises(Diverged, match="training stripes diverges in epoch 1"):
        train(small_network(8, 2), stripes, recipe)


def test_one_class_teaches_nothing(stripes):
    alone = Dataset("alone", ("across",), stripes.train, stripes.held_out, stripes.test)
    with pytest.raises(UsageError, match="alone has 1 class; accepted: two or more"):
        train(small_network(8, 1), alone, SHORT)
    across = Split(np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64), Normalization())
    same = Dataset("same", ("across", "along"), across, stripes.held_out, stripes.test)
    with pytest.raises(UsageError, match="all images of same to train on are of the class 'across'"):
        train(small_network(8, 2), same, SHORT)


def test_a_device_that_is_not_there():
    assert training_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="accepted: auto, cpu, cuda"):
        training_device("abacus")
