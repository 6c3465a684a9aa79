"""Which transposed convolutions become products, and that they compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Graph, evaluate
from nascompiler.ir.builder import Builder
from nascompiler.passes import run_pipeline


def transposed(block: int, outputs: int, *, bias: bool = True, behind: str = "", **attributes: object) -> Graph:
    """[2, 5, 6, 7] through filters of block x block pixels."""
    builder = Builder("net")
    random = np.random.default_rng(0)
    weights = [builder.constant(random.standard_normal((block, block, 7, outputs)).astype(np.float32))]
    if bias:
        weights.append(builder.constant(random.standard_normal(outputs).astype(np.float32)))
    made = builder.nn.conv2d_transpose(builder.input("x", (2, 5, 6, 7)), *weights, **attributes)
    return builder.outputs(y=builder.op(f"nn.{behind}", made) if behind else made)


@pytest.mark.parametrize("behind", ["", "relu", "sigmoid", "neg"])
@pytest.mark.parametrize(("block", "outputs", "bias"), [(2, 1, True), (2, 24, False), (3, 5, True), (1, 4, True)])
def test_a_product_and_a_shuffle(block, outputs, bias, behind):
    before = transposed(block, outputs, bias=bias, behind=behind, strides=(block, block))
    after = run_pipeline(before, "assign-kernels")
    absorbed = behind if behind != "neg" else ""
    product, *_ = after.nodes
    ops = [node.op.name for node in after.nodes]
    assert ops == ["cpu.conv2d", "nn.depth_to_space", *(["nn.neg"] if behind == "neg" else [])]
    assert product["activation"] == (absorbed or "none")
    x = np.random.default_rng(1).standard_normal((2, 5, 6, 7)).astype(np.float32)
    np.testing.assert_allclose(evaluate(after, {"x": x})["y"], evaluate(before, {"x": x})["y"], rtol=2e-7, atol=1e-6)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": (1, 1)},
        {"strides": (2, 3)},
        {"strides": (2, 2), "padding": (1, 0, 0, 0)},
        {"strides": (2, 2), "output_padding": (1, 1)},
        {"strides": (2, 2), "dilation": (2, 2)},
    ],
)
def test_overlapping_and_cropped_windows_stay(attributes):
    after = run_pipeline(transposed(2, 3, **attributes), "assign-kernels")
    assert [node.op.name for node in after.nodes] == ["nn.conv2d_transpose"]
