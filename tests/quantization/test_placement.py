from __future__ import annotations

import numpy as np

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


def test_sums_beyond_32_bits_are_float_with_the_reason() -> None:
    b = Builder("large")
    x = b.input("x", (1, 2048))
    weight = np.where(np.arange(2048 * 4).reshape(2048, 4) % 2, 1.0, -1.0).astype(np.float32)
    y = b.nn.linear(x, b.constant(weight, "w"), name="wide")
    graph = b.outputs(y=b.nn.linear(y, b.constant(np.eye(4, dtype=np.float32), "v"), name="last"))
    generator = np.random.default_rng(0)
    samples = [{"x": generator.standard_normal((1, 2048)).astype(np.float32)} for _ in range(4)]
    quantized = quantize_graph(graph, samples, Settings(wide=("wide",), equalize=False))
    rows = {row.layer: row for row in placements(quantized)}
    assert rows["wide"].placement == "float"
    assert "beyond 32 bits" in rows["wide"].reason
