"""Kernel calls in the emulator under the plugin: right answers, and cycles that are the same every time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.arm.estimate.estimator import Estimate, Estimator
from nascompiler.backends.arm.estimate.job import CodeFailure
from nascompiler.backends.compile import default_pipeline
from nascompiler.backends.cpu.choice import Choice, variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.target import parse_target
from nascompiler.ir import Builder, DType, Graph, TensorType
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Node
from nascompiler.ir.random_values import random_array
from nascompiler.passes import run_pipeline

pytestmark = pytest.mark.usefixtures("_tools")

A72 = "arm:cortex-a72"


def pointwise(pixels: int, k: int, n: int) -> Graph:
    """A 1x1 convolution of pixels x 1 points."""
    generator = np.random.default_rng(0)
    graph = Graph("pointwise")
    builder = Builder(graph)
    x = graph.add_input("x", TensorType((1, pixels, 1, k), DType.F32))
    weight = graph.constant(generator.standard_normal((1, 1, k, n)).astype(np.float32))
    graph.set_outputs({"y": builder.op("nn.conv2d", x, weight)})
    return run_pipeline(graph, default_pipeline(A72))


def only_call(graph: Graph) -> Node:
    (node,) = (node for node in graph.nodes if node.op.dialect == "cpu")
    return node


def estimated(node: Node, target: str, folder: Path, variant: str | None = None) -> tuple[Estimate, list[np.ndarray]]:
    from nascompiler.backends.tvm_adapter.definition import graph_of
    from nascompiler.backends.tvm_adapter.variants import compile_variant

    chosen = parse_target(target)
    graph = graph_of(node)
    generator = np.random.default_rng(1)
    inputs = {value.name: random_array(value.type, generator) for value in graph.inputs}
    available = variants(KernelCall.of(node), chosen)
    name = variant or next(iter(available))
    folder.mkdir()
    compiled = compile_variant(graph, Choice(name, available[name], ""), chosen, folder)
    estimate = Estimator(chosen).estimate(compiled, list(inputs.values()), folder)
    return estimate, list(evaluate(graph, inputs).values())


def test_a_call_gives_the_answer_and_the_same_cycles_each_time(tmp_path):
    node = only_call(pointwise(49, 64, 72))
    first, expected = estimated(node, A72, tmp_path / "first")
    second, _ = estimated(node, A72, tmp_path / "a folder with another name")
    np.testing.assert_allclose(first.outputs[0].reshape(-1), expected[0].reshape(-1), atol=1e-4)
    assert first.events == second.events
    assert first.cycles == second.cycles
    macs = 49 * 64 * 72
    assert macs / 4 <= first.cycles.compute <= macs  # 4 multiply-adds a cycle at most
    weights_lines = 64 * 72 * 4 // 64
    assert weights_lines <= first.events.memory_random + first.events.memory_stream <= 2 * weights_lines


def test_functions_of_tvm_are_estimated_as_kernels_are(tmp_path):
    node = only_call(pointwise(49, 64, 72))
    by_template, expected = estimated(node, A72, tmp_path / "template", "template")
    np.testing.assert_allclose(by_template.outputs[0].reshape(-1), expected[0].reshape(-1), atol=1e-4)
    kernel, _ = estimated(node, A72, tmp_path / "kernel")
    assert by_template.cycles.total > 0.8 * kernel.cycles.total


def test_code_with_instructions_that_the_core_lacks_does_not_run(tmp_path):
    from nascompiler.backends.arm.estimate import job
    from nascompiler.backends.arm.estimate.estimator import core_of

    source = tmp_path / "code.s"
    source.write_text(
        ".arch armv8.2-a+dotprod\n.global broken\nbroken: sdot v0.4s, v1.16b, v2.16b\n mov w0, #0\n ret\n"
        ".global failing\nfailing: mov w0, #7\n ret\n.global endless\nendless: b endless\n"
    )
    library = tmp_path / job.LIBRARY
    subprocess.run(["aarch64-linux-gnu-gcc", "-shared", "-nostdlib", source, "-o", library], check=True)
    from nascompiler.backends.tvm_adapter.steps import Step, Steps

    def run(symbol: str, target: str = A72, timeout_s: float = 60.0) -> None:
        program = Steps((), 0, 0, (Step(symbol, True, (0, 1)),), ())
        folder = tmp_path / symbol / target
        folder.mkdir(parents=True)
        (folder / job.LIBRARY).symlink_to(library)
        job.run_profiled(program, [], [], core_of(parse_target(target)), folder, timeout_s=timeout_s)

    run("broken", "arm:cortex-a76")
    with pytest.raises(CodeFailure, match="ended by signal 4 in the emulator of cortex-a72"):
        run("broken")
    with pytest.raises(CodeFailure, match=r"ended with 3 .*: failed: failing"):
        run("failing")
    with pytest.raises(CodeFailure, match=r"still running .* after 1 s") as hung:
        run("endless", timeout_s=1.0)
    assert hung.value.timed_out


def test_what_has_no_model_of_a_core_is_refused():
    with pytest.raises(DeviceError, match="cycles on cpu cannot be estimated"):
        Estimator(parse_target("cpu"))
