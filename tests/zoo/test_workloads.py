"""The TPU paper's workloads: table 1 holds, the shapes are frozen, and they run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nascompiler import api, zoo
from nascompiler.architecture import expanded
from nascompiler.ir import Graph, ModelError, evaluate, parse, verify
from nascompiler.passes import run_pipeline

TABLE = {  # Jouppi et al. 2017, table 1: FC, Conv, Vector, Pool, weights, ops per weight byte, batch
    "mlp0": (5, 0, 0, 0, 20e6, 200, 200),
    "mlp1": (4, 0, 0, 0, 5e6, 168, 168),
    "lstm0": (24, 0, 34, 0, 52e6, 64, 64),
    "lstm1": (37, 0, 19, 0, 34e6, 96, 96),
    "cnn0": (0, 16, 0, 0, 8e6, 2888, 8),
    "cnn1": (4, 72, 0, 13, 100e6, 1750, 32),
}
FROZEN = {  # parameters, multiply-adds, shapes of the inputs: not to change once there are timings
    "mlp0": (20_010_000, 4_000_000_000, [(200, 2000)]),
    "mlp1": (5_022_080, 842_956_800, [(168, 1120)]),
    "lstm0": (51_929_088, 3_321_888_768, [(1, 64, 1408), (4, 64, 1024), (8, 64, 1024)]),
    "lstm1": (33_942_112, 3_255_091_200, [(1, 96, 600), (16, 96, 600), (2, 96, 600)]),
    "cnn0": (8_044_545, 23_221_553_152, [(8, 19, 19, 48)]),
    "cnn1": (99_598_120, 173_939_929_088, [(32, 299, 299, 3)]),
}
VECTOR_LAYERS_OF_A_CELL = {"lstm0": 5, "lstm1": 2}  # docs/workloads.md says why they differ


def network(name: str) -> Graph:
    graph = expanded(zoo.load(name))
    verify(graph)
    return graph


@pytest.mark.parametrize("name", TABLE)
def test_table_1(name: str) -> None:
    dense, convolutions, vector, pools, weights, intensity, batch = TABLE[name]
    graph = network(name)
    ops = Counter(node.op.name for node in graph.nodes)
    cells = ops["nn.lstm"]
    assert 4 * cells + ops["nn.linear"] == dense
    assert ops["nn.conv2d"] == convolutions
    assert VECTOR_LAYERS_OF_A_CELL.get(name, 0) * cells + ops["nn.add"] == vector
    assert ops["nn.max_pool2d"] + ops["nn.average_pool2d"] == pools
    entry = zoo.entry(name)
    assert entry.params == pytest.approx(weights, rel=0.01)
    assert entry.macs / entry.params == pytest.approx(intensity, rel=0.01)
    assert batch in (graph.inputs[0].type.static_shape[0], graph.inputs[0].type.static_shape[-2])


@pytest.mark.parametrize("name", FROZEN)
def test_shapes_are_frozen(name: str) -> None:
    summary = api.inspect(zoo.load(name))
    assert (summary.params, summary.macs, [t.shape for t in summary.inputs]) == FROZEN[name]


def test_vector_layers_of_lstm0_are_operations() -> None:
    """Five of each cell once decomposed: three products, one sum, the tanh of the state."""
    graph = run_pipeline(network("lstm0"), "unroll-lstm,decompose")
    ops = Counter(node.op.name for node in graph.nodes)
    assert ops["nn.mul"] == 3 * 6
    assert ops["nn.add"] == 6 + 6 + 4  # of the products, of input and recurrent part (part of the FC layers), residual
    assert ops["nn.tanh"] == 2 * 6  # of the candidate (part of its FC layer) and of the state


def test_most_weights_of_cnn1_are_fully_connected() -> None:
    dense = [n for n in network("cnn1").nodes if n.op.name == "nn.linear"]
    assert sum(n.operands[1].type.size for n in dense) == pytest.approx(89.1e6, rel=1e-3)


@pytest.mark.parametrize(
    "name", ["mlp0", "mlp1", pytest.param("lstm0", marks=pytest.mark.slow), "lstm1", "cnn0",
             pytest.param("cnn1", marks=pytest.mark.slow)]
)  # fmt: skip
def test_onnx_runtime_agrees(name: str, tmp_path: Path) -> None:
    """For fewer examples than table 1 has, since the reference evaluator takes its time."""
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = expanded(with_batch(zoo.load(name), 2 if "cnn" not in name else 1))
    generator = np.random.default_rng(1)
    inputs = {v.name: generator.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs}
    api.export(graph, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    theirs = dict(zip(graph.output_names, session.run(graph.output_names, inputs), strict=True))
    for output, ours in evaluate(graph, inputs).items():
        assert ours.shape == theirs[output].shape
        assert ours.std() > 0.01
        assert np.abs(ours - theirs[output]).max() <= 1e-4 * np.abs(ours).max()


def with_batch(graph: Graph, batch: int) -> Graph:
    """The architecture for another batch size."""
    graph = graph.clone()
    for value in graph.inputs:
        shape = list(value.type.static_shape)
        shape[-2 if "lstm" in graph.name else 0] = batch
        graph.set_type(value, value.type.with_shape(tuple(shape)))
    return graph


def test_states_go_on_from_call_to_call() -> None:
    """Two calls of a step each give what one call of two steps gives."""
    text = """nir 1
graph @steps(%x: f32[{0},2,3], %state: f32[4,2,3]) {{
  %y, %next = arch.lstm(%x, %state) {{units=3, repeats=2, residual=true, stateful=true}}
  return y=%y, next=%next
}}
"""
    one, two = (expanded(parse(text.format(steps))) for steps in (1, 2))
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 2, 3)).astype(np.float32)
    state = generator.standard_normal((4, 2, 3)).astype(np.float32)
    first = evaluate(one, {"x": x[:1], "state": state})
    second = evaluate(one, {"x": x[1:], "state": first["next"]})
    both = evaluate(two, {"x": x, "state": state})
    np.testing.assert_allclose(np.concatenate([first["y"], second["y"]]), both["y"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second["next"], both["next"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "inputs, layer, message",
    [
        ("%x: f32[1,2,3], %s: f32[2,2,4]", "arch.lstm(%x, %s) {units=4}", "stateful goes together with"),
        ("%x: f32[1,2,3]", "arch.lstm(%x) {units=4, residual=true}", "residual adds 3 features to 4 units"),
        ("%x: f32[2,8]", "arch.lstm(%x) {units=4}", "is no sequence"),
        (
            "%x: f32[1,8,8,3]",
            "arch.inception(%x) {single=4, triple=[4, 4], double_triple=[4, 4], stride=2}",
            "single is 4; accepted with stride 2: 0",
        ),
    ],
)
def test_layers_that_do_not_fit(inputs: str, layer: str, message: str) -> None:
    graph = parse(f"nir 1\ngraph @g({inputs}) {{\n  %y = {layer}\n  return y=%y\n}}\n")
    with pytest.raises(ModelError, match=message):
        expanded(graph)


def test_a_state_of_another_size() -> None:
    text = "nir 1\ngraph @g(%x: f32[1,2,3], %s: f32[2,2,5]) {\n  %y, %n = arch.lstm(%x, %s) {units=4, stateful=true}\n"
    with pytest.raises(ModelError, match=r"the state is f32\[2,2,5\]; accepted: \[2, 2, 4\]"):
        expanded(parse(text + "  return y=%y\n}\n"))
