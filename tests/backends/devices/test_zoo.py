"""Every network of mobile size of the zoo, in float32 and int8, on emulated cores, against the reference evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from nascompiler import api
from nascompiler.architecture import expanded
from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.ir import Array, Graph, evaluate
from nascompiler.verification import synthetic_inputs

pytestmark = [pytest.mark.emulated, pytest.mark.slow]

MOBILE = [
    "mobilenet-v3-small",
    "mobilenet-v3-small-minimalistic",
    "mobilenet-v3-large",
    "mobilenet-v3-large-minimalistic",
    "mobilenet-v2",
    "mobilenet-v1",
    "mnasnet-small",
    "mnasnet-a1",
    "mnasnet-b1",
    "nasnet-a-cifar",
    "nasnet-a-mobile",
]
CORES = ["cortex-a72", "cortex-a76"]
IMAGES = 2
TOLERANCE = 1e-4


@lru_cache(maxsize=1)
def network(name: str, kind: str) -> Graph:
    graph = expanded(api.load(name))
    if kind == "float32":
        return graph
    return api.quantize(graph, samples=4, evaluate=4, sensitivity=0, measure=False).graph


@lru_cache(maxsize=1)
def answers(name: str, kind: str) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """Images, and what the reference evaluation makes of them."""
    graph = network(name, kind)
    drawn: Iterator[dict[str, Array]] = synthetic_inputs(graph, 0)
    images = [next(drawn) for _ in range(IMAGES)]
    return images, [evaluate(graph, image) for image in images]


@pytest.mark.parametrize("name", MOBILE)
@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("core", CORES)
def test_answers_are_those_of_the_reference(name: str, kind: str, core: str, tmp_path: Path) -> None:
    compile_graph(network(name, kind), f"arm:{core}", tmp_path / "net")
    artifact = load_artifact(tmp_path / "net")
    images, expected = answers(name, kind)
    try:
        for image, right in zip(images, expected, strict=True):
            found = artifact.run(image)
            for output, wanted in right.items():
                if kind == "int8":
                    np.testing.assert_array_equal(found[output], wanted)
                else:
                    scale = float(np.abs(wanted).max())
                    assert float(np.abs(found[output] - wanted).max()) <= TOLERANCE * scale
        assert any(not np.array_equal(expected[0][output], expected[1][output]) for output in expected[0])
    finally:
        artifact.close()
