"""Fine-tuning a quantised network repairs it, depends on its seed alone, and keeps what it was given."""

from dataclasses import replace

import numpy as np
import pytest

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.ir import Builder, UsageError, evaluate, fingerprint, verify
from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.ir.graph import infer_all
from nascompiler.passes import run_pipeline
from nascompiler.passes.quantization.quantizer import quantize_graph

torch = pytest.importorskip("torch")

from nascompiler.torch_bridge import to_module  # noqa: E402
from nascompiler.training.accuracy import evaluate_accuracy, predictions  # noqa: E402
from nascompiler.training.quantization_aware import FINE_TUNING, fine_tune  # noqa: E402
from nascompiler.training.recipe import Recipe  # noqa: E402
from nascompiler.training.trainer import module_run, train  # noqa: E402

SHORT = replace(FINE_TUNING, batch_size=16, shift=0)


@pytest.fixture(scope="module")
def data():
    """Four classes: the quarter of the image that is bright."""
    generator = np.random.default_rng(0)

    def split(count):
        labels = generator.integers(0, 4, count)
        images = generator.integers(0, 120, (count, 12, 12, 3), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[label // 2 * 6 : label // 2 * 6 + 6, label % 2 * 6 : label % 2 * 6 + 6] += 100
        return Split(images, labels, Normalization())

    return Dataset("quarters", tuple("abcd"), split(256), split(64), split(128))


@pytest.fixture(scope="module")
def network(data):
    """A trained network with hard-swish, a squeeze-excite, a skip and a pool, as MobileNetV3 has them."""
    builder = Builder("small")
    x = builder.arch.conv(builder.input("image", (1, 12, 12, 3)), name="stem", filters=8, activation="hard_swish")
    x = builder.arch.block(x, name="first", filters=8, expansion=2.0, se_ratio=0.25)
    x = builder.arch.block(x, name="second", filters=12, expansion=2.0, stride=2, activation="hard_swish")
    builder.outputs(logits=builder.arch.classifier(x, name="logits", classes=4, hidden=16))
    graph = run_pipeline(builder.graph, "expand-cells{seed=0}")
    return train(graph, data, Recipe(epochs=3, batch_size=16, shift=0)).graph


@pytest.fixture(scope="module")
def start(network, data):
    return quantize_graph(network, [{"image": x} for x, _ in data.train.head(8).batches(1)])


@pytest.fixture(scope="module")
def tuned(start, data):
    return fine_tune(start, data, SHORT, seed=1).quantized


@pytest.fixture(scope="module")
def poor(start):
    """The network quantised as badly as after a calibration on other images: all ranges half of what they are."""
    result = start
    fake = result.fake.clone()
    for node in fake.nodes:
        if node.op.name == "qnn.quantize":
            fake.set_attributes(node, scale=node["scale"] / 2)
            for user in node.result.users:
                fake.set_attributes(user, x_scale=node["scale"])
    infer_all(fake)
    return replace(result, fake=fake)


def divergence(graph, reference, data):
    """Mean squared difference of the logits."""
    ours, theirs = (module_run(to_module(g)) for g in (graph, reference))
    return float(np.mean([np.square(ours(x) - theirs(x)).mean() for x, _ in data.test.batches(64)]))


@pytest.mark.parametrize("distillation", [1.0, 0.5])
def test_it_learns_back_what_quantisation_lost(poor, data, distillation):
    recipe = replace(SHORT, epochs=2, learning_rate=3e-3)
    tuned = fine_tune(poor, data, recipe, distillation=distillation, range_rate=10.0)
    before, after = (divergence(fake, poor.prepared, data) for fake in (poor.fake, tuned.quantized.fake))
    assert after < before / 2
    reported = [tuned.before, *(epoch.held_out_accuracy for epoch in tuned.epochs)]
    measured = [evaluate_accuracy(module_run(to_module(g)), data.held_out) for g in (poor.fake, tuned.quantized.fake)]
    assert [reported[0], reported[-1]] == pytest.approx(measured, abs=1.1 / len(data.held_out))
    assert len(tuned.epochs) == 2
    assert tuned.epochs[1].loss < tuned.epochs[0].loss


def test_the_result_is_all_of_a_piece(start, tuned):
    """Graphs of the same structure, which say the same, and what is recorded of them is what is in them."""
    for ours, theirs in ((tuned.fake, start.fake), (tuned.graph, start.graph)):
        verify(ours)
        assert [n.op.name for n in ours.nodes] == [n.op.name for n in theirs.nodes]
        assert fingerprint(ours) != fingerprint(theirs)
    assert (tuned.prepared, tuned.plan, tuned.settings) == (start.prepared, start.plan, start.settings)
    assert tuned.activations.keys() == start.activations.keys()
    assert tuned.activations != start.activations
    assert tuned.weights.keys() == start.weights.keys()
    in_graph = {((n["scale"],), (n["zero_point"],)) for n in tuned.fake.nodes if n.op.name == "qnn.quantize"}
    assert {(q.scale, q.zero_point) for q in tuned.activations.values()} == in_graph
    for group in tuned.plan.groups:
        assert len({tuned.activations[value] for value in group}) == 1
    for value, quantization in tuned.activations.items():
        low, high = limits(tuned.plan.values[value])
        assert low <= quantization.zero_point[0] <= high
    scales = {array.tobytes() for array in tuned.weights.values()}
    stored = {n.operands[1].array.tobytes() for n in tuned.fake.nodes if n.op.name == "qnn.quantize_per_axis"}
    assert scales == stored


def test_integers_predict_what_the_module_does(tuned, data):
    assert {n.op.name for n in tuned.graph.nodes if n.op.name.endswith(("conv2d", "linear"))} == {
        "qnn.conv2d",
        "qnn.linear",
    }
    few = data.test.head(48)
    module = predictions(module_run(to_module(tuned.fake)), few)
    integers = predictions(lambda x: evaluate(tuned.graph, {"image": x})["logits"], few, batch_size=1)
    assert (module == integers).mean() > 0.95


def test_the_same_seed_gives_the_same_graphs(start, tuned, data):
    same, other = (fine_tune(start, data, SHORT, seed=seed).quantized for seed in (1, 2))
    assert fingerprint(tuned.fake) == fingerprint(same.fake) != fingerprint(other.fake)
    assert fingerprint(tuned.graph) == fingerprint(same.graph) != fingerprint(other.graph)


def test_progress_is_told_of_every_epoch(start, data):
    told = []
    assert fine_tune(start, data, replace(SHORT, batch_size=128, epochs=2), progress=told.append).epochs == tuple(told)
    assert [epoch.number for epoch in told] == [1, 2]


def test_what_does_not_fit_is_refused(start, data):
    two = replace(data, classes=("a", "b"))
    with pytest.raises(UsageError, match=r"does not fit the data set quarters:\n.*logits \[N, 2\]"):
        fine_tune(start, two)
    with pytest.raises(UsageError, match="distillation is 2; accepted: numbers from 0 to 1"):
        fine_tune(start, data, distillation=2)
    with pytest.raises(UsageError, match="there are no weights to train"):
        fine_tune(replace(start, fake=start.graph), data)


def test_a_training_that_diverges_says_so(start, data):
    with pytest.raises(UsageError, match=r"the loss is (nan|inf); accepted: a smaller learning rate than 1e"):
        fine_tune(start, data, replace(SHORT, learning_rate=1e30))


def test_layers_whose_bias_comes_from_its_correction_are_tuned_too(data):
    random = np.random.default_rng(0)
    builder = Builder("without_biases")
    x = builder.input("image", (1, 12, 12, 3))
    for inputs, outputs in ((3, 6), (6, 4)):
        weight = builder.constant(random.normal(0, 0.3, (3, 3, inputs, outputs)).astype(np.float32))
        x = builder.nn.relu(builder.nn.conv2d(x, weight, padding=(1, 1, 1, 1)))
    logits = builder.nn.flatten(builder.nn.global_average_pool(x))
    start = quantize_graph(builder.outputs(logits=logits), [{"image": x} for x, _ in data.train.head(8).batches(1)])
    tuned = fine_tune(start, replace(data, train=data.train.head(32)), SHORT).quantized
    assert [n.op.name for n in tuned.graph.nodes] == [n.op.name for n in start.graph.nodes]
    assert all(len(n.operands) == 4 for n in tuned.graph.nodes if n.op.name == "qnn.conv2d")
