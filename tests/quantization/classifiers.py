"""A small network with every kind of layer, what goes in, and its quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir import Array, Builder, Graph, Value
from nascompiler.passes.quantization.quantizer import Quantized, Settings, quantize_graph


def classifier(*, outlier: float = 1.0, classes: int = 6, size: int = 8, seed: int = 0) -> Graph:
    """conv -> relu -> depthwise -> hard-swish -> pointwise -> + stem -> pool -> linear, on images [1, size, size, 3].

    The pointwise convolution gives one channel that is `outlier` times larger than the others, and the linear layer
    takes it that much smaller: one scale for all channels then loses the others.
    """
    generator = np.random.default_rng(seed)
    b = Builder("classifier")

    def weight(name: str, *shape: int) -> Value:
        fan_in = int(np.prod(shape[:-1]))
        return b.constant((generator.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32), name)

    def bias(channels: int) -> Value:
        return b.constant((generator.standard_normal(channels) * 0.1).astype(np.float32))

    x = b.input("image", (1, size, size, 3))
    stem = b.nn.relu(b.nn.conv2d(x, weight("w0", 3, 3, 3, 8), bias(8), padding=(1, 1, 1, 1), name="stem"))
    y = b.nn.conv2d(stem, weight("w1", 3, 3, 1, 8), bias(8), padding=(1, 1, 1, 1), groups=8, name="depthwise")
    y = b.nn.hard_swish(y)
    scale = np.ones(8, np.float32)
    scale[3] = outlier
    pointwise = weight("w2", 1, 1, 8, 8).array
    assert pointwise is not None
    y = b.nn.conv2d(y, b.constant(pointwise * scale, "w2"), name="pointwise")
    y = b.nn.add(y, stem, name="sum")
    y = b.nn.reshape(b.nn.global_average_pool(y, name="pool"), shape=(1, 8))
    head = weight("w3", 8, classes).array
    assert head is not None
    y = b.nn.linear(y, b.constant(head / scale[:, None], "w3"), bias(classes), name="scores")
    return b.outputs(scores=y)


def images(count: int, *, size: int = 8, seed: int = 1) -> list[dict[str, Array]]:
    """Images of smooth noise for `classifier`, at changing brightness."""
    generator = np.random.default_rng(seed)
    found: list[dict[str, Array]] = []
    for _ in range(count):
        noise = generator.standard_normal((1, size, size, 3)) + generator.standard_normal((1, 1, 1, 3))
        found.append({"image": (noise + np.roll(noise, 1, axis=1)).astype(np.float32)})
    return found


def stacked_images(count: int, **options: Any) -> Array:
    """The same, [count, size, size, 3]."""
    return np.concatenate([sample["image"] for sample in images(count, **options)])


def quantized_classifier(*, outlier: float = 1.0, samples: int = 16, **settings: Any) -> Quantized:
    return quantize_graph(classifier(outlier=outlier), images(samples), Settings(**settings))
