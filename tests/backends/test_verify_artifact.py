"""Verification compares what it says it compares, and refuses images that show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.errors import GateError
from nascompiler.backends.verify_artifact import random_images, verify_artifact
from nascompiler.ir import DType, UsageError, evaluate
from nascompiler.ir.builder import Builder


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    builder = Builder("net")
    x = builder.input("x", (1, 4, 4, 3))
    weight = np.random.default_rng(0).standard_normal((48, 6)).astype(np.float32)
    y = builder.nn.linear(builder.nn.flatten(x), builder.constant(weight))
    folder = tmp_path_factory.mktemp("verify") / "net"
    return load_artifact(compile_graph(builder.outputs(y=y), "cpu", folder).folder)


def test_an_artifact_agrees_with_its_graph_and_with_others(artifact):
    graph = artifact.source_graph()
    report = verify_artifact(
        artifact, random_images(artifact), references={"another runtime": lambda given: evaluate(graph, given)}
    )
    assert report.passed
    assert report.images == 8
    assert [c.reference for c in report.comparisons] == ["the reference evaluation", "another runtime"]
    assert report.largest_difference < 1e-5
    report.check()
    assert "another runtime" in str(report)


def test_a_difference_is_found(artifact):
    def wrong(given):
        y = evaluate(artifact.source_graph(), given)["y"]
        return {"y": y * np.float32(1.001)}

    report = verify_artifact(artifact, random_images(artifact), references={"a wrong one": wrong})
    assert not report.passed
    assert "a wrong one" in report.faults[0]
    with pytest.raises(GateError, match="differs from a wrong one") as error:
        report.check()
    assert error.value.exit_code == 4


def test_nan_is_no_agreement(artifact):
    bad = {"y": np.full((1, 6), np.nan, np.float32)}
    assert not verify_artifact(artifact, random_images(artifact), references={"nan": lambda given: bad}).passed


def test_images_whose_results_hardly_differ_show_nothing(artifact):
    (image, *_) = random_images(artifact)
    report = verify_artifact(artifact, [image] * 8)
    assert not report.passed
    assert "hardly changes from image to image" in report.faults[0]


def test_fewer_than_eight_images_are_refused(artifact):
    with pytest.raises(UsageError, match="at least 8"):
        verify_artifact(artifact, random_images(artifact, 7))


@pytest.fixture(scope="module")
def integers(tmp_path_factory):
    """An exact output in integers, one in float, and one that float arithmetic stands before."""
    builder = Builder("integers")
    x = builder.input("x", (1, 6, 6, 4))
    generator = np.random.default_rng(0)
    weight = builder.constant(generator.integers(-127, 128, (3, 3, 4, 8)).astype(np.int8))
    scale = builder.constant(generator.uniform(0.001, 0.01, 8).astype(np.float32))
    q = builder.op("qnn.quantize", x, scale=0.02, zero_point=3)
    sums = {"x_scale": 0.02, "x_zero_point": 3}
    y = builder.op("qnn.conv2d", q, weight, scale, **sums, scale=0.05, zero_point=-4, activation="relu")
    real = builder.op("qnn.conv2d", q, weight, scale, **sums, dtype=DType.F32, activation="hard_swish")
    late = builder.op("qnn.quantize", builder.nn.softmax(real), scale=1 / 256, zero_point=-128)
    graph = builder.outputs(y=y, real=real, late=late)
    return load_artifact(compile_graph(graph, "cpu", tmp_path_factory.mktemp("verify") / "integers").folder)


def test_exact_outputs_are_identical_dequantised_ones_too(integers):
    report = verify_artifact(integers, random_images(integers))
    assert report.passed
    assert [(c.output, c.exactness.name) for c in report.comparisons] == [
        ("y", "EXACT"),
        ("real", "EXACT"),
        ("late", "ROUNDED"),
    ]
    assert [c.difference for c in report.comparisons[:2]] == [0, 0]


def test_one_step_is_a_fault_where_the_output_is_exact(integers):
    graph = integers.source_graph()
    other = graph.clone()
    node = next(n for n in other.nodes if n.op.name == "qnn.conv2d")
    moved = other.insert(node.op, node.operands, {**node.attributes, "scale": 0.0502}, before=node)
    other.replace_all_uses(node.result, moved.result)
    other.erase(node)
    report = verify_artifact(integers, random_images(integers), other)
    assert len(report.faults) == 1
    assert "output 'y' differs" in report.faults[0]
    assert "must be identical" in report.faults[0]


def test_another_runtime_may_be_a_step_apart(integers):
    def step_apart(given):
        results = evaluate(integers.source_graph(), given)
        results["y"].reshape(-1)[0] -= 1 if results["y"].reshape(-1)[0] > 0 else -1
        return results

    report = verify_artifact(integers, random_images(integers), references={"another runtime": step_apart})
    assert report.passed
    assert max(c.difference for c in report.comparisons if c.reference == "another runtime") > 0
