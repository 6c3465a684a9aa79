"""Whole networks of the zoo, compiled for the TPU as a user does, loaded again, and compared with the reference.

The regions of the same networks are compared alone, at full batch, in tests/backends/tpu/test_networks.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nascompiler as nc
from nascompiler import zoo
from nascompiler.ir import Graph, evaluate
from nascompiler.tpu.workloads import set_batch
from nascompiler.verification import synthetic_inputs

BATCHES = {"mlp0": 4, "mlp1": 4, "lstm0": 2, "lstm1": 2, "cnn0": 2, "cnn1": 1}
"""Examples at a time of the six workloads: the reference takes minutes for a whole batch of the largest."""

NETWORKS = tuple(name for name in zoo.names() if name != "nasnet-a-large")
IMAGES = 8
"""As many as verifying wants at least."""


def _data(graph: Graph, folder: Path) -> tuple[str, ...]:
    """Options for calibration by two samples, and verification by eight of a network that takes one image at a time."""
    drawn = synthetic_inputs(graph, 3)
    samples = [next(drawn) for _ in range(IMAGES)]
    np.savez(folder / "few.npz", **{v.name: np.stack([s[v.name] for s in samples[:2]]) for v in graph.inputs})
    options = ("--calibration", str(folder / "few.npz"))
    value = graph.inputs[0]
    if value.type.static_shape[0] > 1 or len(graph.inputs) > 1:
        return options
    np.save(folder / "images.npy", np.concatenate([s[value.name] for s in samples]))
    return *options, "--images", str(folder / "images.npy")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_verified_and_loaded(name: str, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    model, architecture = name, zoo.load(name).clone()
    if name in BATCHES:
        set_batch(architecture, BATCHES[name])
        model = str(tmp_path / "model.nir")
        nc.save(architecture, model)
    options = ("--quantize", "--no-measure", "--target", "tpu:v1", "--verify", *_data(architecture, tmp_path))
    result = cli("compile", model, *options, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert "identical" in result.err

    artifact = nc.load_artifact(tmp_path / "out")
    graph = artifact.source_graph()
    inputs = next(synthetic_inputs(graph, 11))
    expected = evaluate(graph, inputs)
    for output, array in artifact.run(inputs).items():
        assert np.array_equal(array, expected[output])
