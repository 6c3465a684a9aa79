"""The zoo's networks run: sane activations, answers that differ, and the same answers in ONNX Runtime."""

import numpy as np
import pytest

from nascompiler import api, zoo
from nascompiler.architecture import expanded
from nascompiler.ir import evaluate
from nascompiler.passes.expansion.statistics import natural_images

CLASSIFIERS = [
    name for name in zoo.names() if zoo.load(name).inputs[0].type.rank == 4 and not name.startswith("cnn")
]  # the TPU workloads run in test_workloads.py
SMALL = ("mnasnet-small", "mobilenet-v2", "mobilenet-v3-small")


def sized(names):
    """The large networks are for the slow run."""
    return [n if n in SMALL else pytest.param(n, marks=pytest.mark.slow) for n in names]


def images(count, type, seed=100):
    shape = type.static_shape
    return [natural_images(shape, np.random.default_rng(seed + i)).astype(np.float32) for i in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_answers_differ_from_image_to_image_and_nothing_blows_up(name):
    graph = expanded(zoo.load(name))
    largest = []

    def observe(value, array):
        largest.append(float(np.abs(array).max()))

    (image,) = graph.inputs
    count = 3 if name == "nasnet-a-large" else 8
    logits = np.concatenate(
        [evaluate(graph, {image.name: x}, observe=observe)["logits"] for x in images(count, image.type)]
    )
    apart = np.abs(logits[:, None] - logits[None]).max()
    assert apart > 0.1 * np.abs(logits).max()
    assert 0.3 < np.abs(logits).max() < 100
    assert max(largest) < 1000


def test_answers_differ_at_a_small_size():
    graph = expanded(api.load("mobilenet-v3-small", resolution=64))
    logits = np.concatenate([evaluate(graph, {"image": x})["logits"] for x in images(8, graph.inputs[0].type)])
    assert np.abs(logits[:, None] - logits[None]).max() > 0.1 * np.abs(logits).max()
    assert len(set(logits.argmax(axis=1))) > 2


@pytest.mark.parametrize("name", sized(CLASSIFIERS))
def test_onnx_runtime_agrees(name, tmp_path):
    """Relative to the largest logit, on the criterion of `--verify`."""
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = expanded(zoo.load(name))
    api.export(graph, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    (image,) = graph.inputs
    (x,) = images(1, image.type)
    (theirs,) = session.run(None, {image.name: x})
    (ours,) = evaluate(graph, {image.name: x}).values()
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(ours).max()
