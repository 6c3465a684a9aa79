from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nascompiler.ir import DType, UsageError, evaluate
from nascompiler.quantization.running import (
    REFERENCE,
    WORTH_COMPILING_S,
    compiled_runner,
    estimated_seconds,
    float_runner,
    integer_runner,
    reference_runner,
)
from tests.quantization.classifiers import classifier, images, quantized_classifier


def outputs(runner, samples):
    found = list(runner.run(samples))
    assert sum(count for count, _ in found) == len(samples)
    return np.concatenate([arrays["scores"] for _, arrays in found])


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_the_reference_runs_every_sample_once_and_in_order(count: int) -> None:
    graph, samples = classifier(), images(count)
    expected = np.concatenate([evaluate(graph, sample)["scores"] for sample in samples])
    np.testing.assert_allclose(outputs(reference_runner(graph, count), samples), expected, rtol=1e-5, atol=1e-6)


def test_code_gives_the_same_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path))
    quantized = quantized_classifier().graph
    assert any(v.type.dtype is DType.I8 for n in quantized.nodes for v in n.results)
    runner = compiled_runner(quantized, "cpu")
    assert runner.by.startswith("code for cpu")
    np.testing.assert_array_equal(outputs(runner, images(3)), outputs(reference_runner(quantized), images(3)))


def test_small_work_is_not_compiled() -> None:
    graph = classifier()
    assert float_runner(graph, 10, "cpu").by == REFERENCE
    assert integer_runner(graph, images(1), 10, "cpu").by == REFERENCE
    assert float_runner(graph, 10**9, None).by == REFERENCE
    assert estimated_seconds(graph, 10**6) > WORTH_COMPILING_S > estimated_seconds(graph, 100)


def test_what_cannot_be_compiled_is_evaluated() -> None:
    with pytest.raises(UsageError):
        compiled_runner(classifier(), "abacus")
    assert float_runner(classifier(), 10**9, "abacus").by == REFERENCE
