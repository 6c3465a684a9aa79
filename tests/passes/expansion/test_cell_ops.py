"""What the parts of cells compute, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, Graph, ModelError, TensorType, Value, evaluate
from nascompiler.passes.expansion import FAMILIES, Expansion, Weights
from nascompiler.passes.expansion.cell_ops import CELL_OPS, factorized_reduction, match_unused


def started(height: int, width: int, channels: int) -> tuple[Expansion, Value, Graph]:
    builder = Builder("main")
    x = builder.input("x", TensorType((2, height, width, channels)))
    return Expansion(builder, FAMILIES["nasnet"], Weights()), x, builder.graph


def computed(graph: Graph, y: Value, x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    graph.set_outputs({"y": y})
    return evaluate(graph, {"x": x})["y"]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 7), (6, 9), (2, 3)])
@pytest.mark.parametrize("filters", [4, 5])
def test_factorized_reduction_sees_every_pixel(height: int, width: int, filters: int) -> None:
    """As in the released code: two 1x1 average pools of stride 2, the second shifted by a pixel, zeros at the end."""
    expansion, x, graph = started(height, width, 3)
    size = (-(-height // 2), -(-width // 2))
    norm = factorized_reduction(expansion, x, filters, size).producer
    assert norm is not None
    both = norm.operands[0]
    graph.erase(norm)
    image = np.random.default_rng(0).standard_normal((2, height, width, 3)).astype(np.float32)
    found = computed(graph, both, image)
    weights = {n.result.name: n.operands[1].array for n in graph.nodes if n.op.name == "nn.conv2d"}
    even, odd = weights["even"], weights["odd"]
    assert even is not None
    assert odd is not None
    shifted = np.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
    wanted = np.concatenate([image[:, ::2, ::2] @ even[0, 0], shifted[:, ::2, ::2] @ odd[0, 0]], axis=3)
    assert found.shape == (2, *size, filters)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_factorized_reduction_of_a_pixel() -> None:
    expansion, x, _ = started(1, 4, 3)
    with pytest.raises(ModelError, match="an image of 1x4 is too small to be halved; use a higher resolution"):
        factorized_reduction(expansion, x, 4, (1, 2))


@pytest.mark.parametrize("stride", [1, 2])
def test_average_pools_do_not_count_padding(stride: int) -> None:
    expansion, x, graph = started(5, 5, 2)
    y = CELL_OPS["average3"](expansion, x, 2, stride)
    ones = np.ones((2, 5, 5, 2), np.float32)
    np.testing.assert_array_equal(computed(graph, y, ones), ones[:, ::stride, ::stride])


def test_max_pools_do_not_count_padding() -> None:
    expansion, x, graph = started(5, 5, 2)
    y = CELL_OPS["max7"](expansion, x, 2, 1)
    below = np.full((2, 5, 5, 2), -1, np.float32)
    np.testing.assert_array_equal(computed(graph, y, below), below)


def test_separable_convolutions_keep_the_channels_between_depthwise_and_pointwise() -> None:
    expansion, x, graph = started(6, 6, 3)
    y = CELL_OPS["separable5"](expansion, x, 8, 2)
    assert y.type.shape == (2, 3, 3, 8)
    weights = [n.operands[1].type.shape for n in graph.nodes if n.op.name == "nn.conv2d"]
    assert weights == [(5, 5, 1, 3), (1, 1, 3, 8), (5, 5, 1, 8), (1, 1, 8, 8)]


def test_an_unused_input_that_fits_stays_as_it_is() -> None:
    expansion, x, _ = started(6, 6, 4)
    assert match_unused(expansion, x, 4, (6, 6)) is x
