"""Verification compares what it says it compares, and refuses images that show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.errors import GateError
from nascompiler.backends.verify_artifact import random_images, verify_artifact
from nascompiler.ir import UsageError, evaluate
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
