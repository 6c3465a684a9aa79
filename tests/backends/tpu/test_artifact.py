"""Artifacts for a TPU: made through TVM, run in the simulator, the same as the reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nascompiler import api
from nascompiler.backends.artifact import Artifact, load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.errors import GateError
from nascompiler.backends.measure import Kind
from nascompiler.bench import bench_artifact
from nascompiler.ir import DType, Graph, ModelError, UsageError, evaluate
from tests.backends.tpu.networks import Networks

TARGET = "tpu:tiny{unified-buffer=256KiB,parameter-memory=64KiB}"


def _network() -> tuple[Graph, Networks]:
    """Integers with a real input and a softmax between two regions, and results of both."""
    made = Networks((1, 6, 6, 4))
    b = made.builder
    first = made.conv(made.inputs[0], 6, activation="relu")
    scaled = b.nn.softmax(b.qnn.dequantize(first, x_scale=0.05, x_zero_point=-5), axis=3)
    again = b.qnn.quantize(scaled, scale=0.01, zero_point=-5, dtype=DType.I8)
    made.zero_points[again] = -5
    second = made.conv(again, 3, (2, 2), dtype=DType.F32)
    return made.graph(second, first), made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Graph, Networks]:
    graph, networks = _network()
    folder = tmp_path_factory.mktemp("tpu") / "artifact"
    compile_graph(graph, TARGET, folder)
    return folder, graph, networks


@pytest.fixture(scope="module")
def artifact(made: tuple[Path, Graph, Networks]) -> Artifact:
    return load_artifact(made[0])


def test_results_are_the_references(made: tuple[Path, Graph, Networks], artifact: Artifact) -> None:
    _, graph, networks = made
    assert [call.symbol for call in artifact.manifest.calls if call.ops[0] == "qnn.conv2d"] == list(
        artifact.manifest.regions
    )
    for _ in range(3):
        inputs = networks.arrays()
        expected = evaluate(graph, inputs)
        found = artifact.run(inputs)
        assert np.array_equal(found["y1"], expected["y1"])
        np.testing.assert_allclose(found["y0"], expected["y0"], rtol=1e-5, atol=1e-5)
    api.verify(artifact).check()


def test_the_placement_table_tells_all(artifact: Artifact) -> None:
    rows = artifact.placement()
    assert {row["unit"] for row in rows} == {TARGET, "host cpu"}
    assert all(row["reason"] for row in rows)
    kernels = [row["kernel"] for row in rows if row["op"] == "qnn.conv2d"]
    assert all(kernel.startswith(symbol) for kernel, symbol in zip(kernels, artifact.manifest.regions, strict=True))


def test_a_benchmark_carries_the_counters(made: tuple[Path, Graph, Networks], artifact: Artifact) -> None:
    result = bench_artifact(made[0])
    data = json.loads(json.dumps(result.to_json()))
    cycles = sum(region.timing.cycles for region in artifact.regions)
    assert data["kind"] == Kind.SIMULATED.value
    assert data["cycles"] == data["counters"]["cycles"] == cycles
    assert data["median_ns"] == pytest.approx(1e9 * cycles / 100e6)
    parts = ("array_active", "weight_stall", "weight_shift", "non_matrix")
    assert sum(data["counters"][part] for part in parts) == pytest.approx(100)
    assert sum(layer["ns"] for layer in data["layers"]) == pytest.approx(data["median_ns"])
    assert 0 < data["host_share"] < 1
    with pytest.raises(UsageError, match="simulated"):
        bench_artifact(made[0], against=["onnxruntime"])


def test_two_of_the_same_do_not_disturb_each_other(made: tuple[Path, Graph, Networks], artifact: Artifact) -> None:
    _, graph, networks = made
    inputs = networks.arrays()
    other = load_artifact(made[0])
    other.run(inputs)
    del other
    assert np.array_equal(artifact.run(inputs)["y1"], evaluate(graph, inputs)["y1"])


def test_a_damaged_program_is_refused(made: tuple[Path, Graph, Networks], tmp_path: Path) -> None:
    folder = made[0]
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    program = next(copy.glob("*.tpu"))
    program.write_bytes(program.read_bytes()[:-40])
    with pytest.raises(ModelError, match="not what was compiled"):
        load_artifact(copy)


def test_a_full_offload_can_be_required(tmp_path: Path) -> None:
    graph, _ = _network()
    with pytest.raises(GateError, match=r"nn\.softmax"):
        compile_graph(graph, TARGET, tmp_path / "out", full_offload=True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="nothing to offload to"):
        compile_graph(graph, "cpu", tmp_path / "out", full_offload=True)


def test_a_layer_that_cannot_fit_is_named(tmp_path: Path) -> None:
    made = Networks((1, 40, 40, 16))
    graph = made.graph(made.conv(made.inputs[0], 16))
    with pytest.raises(ModelError, match=r"qnn.conv2d.* cannot be computed on tpu:tiny.*Unified Buffer has 16,384"):
        compile_graph(graph, "tpu:tiny{unified-buffer=16KiB}", tmp_path / "out")
