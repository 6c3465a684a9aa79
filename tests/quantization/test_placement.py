from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder
from nascompiler.passes.quantization.quantizer import Settings, quantize_graph
from nascompiler.quantization.placement import integer_share, placements
from tests.quantization.classifiers import quantized_classifier


def test_integers_float_and_16_bits_with_their_reasons() -> None:
    quantized = quantized_classifier(keep_float=("stem",), wide=("pointwise",))
    rows = {row.layer: row for row in placements(quantized)}
    assert next(iter(rows)) == "stem"
    assert (rows["stem"].placement, rows["stem"].reason) == ("float", "kept in float as asked")
    assert rows["pointwise"].placement == "16 bit"
    assert rows["pointwise"].reason == "16-bit activations as asked"
    assert rows["sum"].reason == "beside a layer with 16-bit activations"
    assert (rows["scores"].placement, rows["scores"].reason) == ("i8", "")
    assert rows["scores"].macs == 8 * 6
    swish = next(row for row in rows.values() if row.op == "nn.hard_swish")
    assert swish.reason == "part of depthwise, before it rounds"
    total = sum(row.macs for row in rows.values())
    assert integer_share(list(rows.values())) == 1 - rows["stem"].macs / total


@pytest.mark.parametrize(("products", "placement"), [(2048, "16 bit"), (70000, "float")])
def test_sums_that_no_scale_fits_into_32_bits_are_float_with_the_reason(products: int, placement: str) -> None:
    b = Builder("large")
    x = b.input("x", (1, products))
    weight = np.where(np.arange(products * 4).reshape(products, 4) % 2, 1.0, -1.0).astype(np.float32)
    y = b.nn.linear(x, b.constant(weight, "w"), name="wide")
    graph = b.outputs(y=b.nn.linear(y, b.constant(np.eye(4, dtype=np.float32), "v"), name="last"))
    generator = np.random.default_rng(0)
    samples = [{"x": generator.standard_normal((1, products)).astype(np.float32)} for _ in range(4)]
    quantized = quantize_graph(graph, samples, Settings(wide=("wide",), equalize=False))
    rows = {row.layer: row for row in placements(quantized)}
    assert rows["wide"].placement == placement
    assert ("beyond 32 bits" in rows["wide"].reason) == (placement == "float")
