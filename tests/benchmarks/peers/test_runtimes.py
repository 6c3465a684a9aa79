from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.prepare import PREPARATIONS
from benchmarks.peers.runtimes import RUNTIMES, Entry, OnnxRuntime


def test_what_is_not_installed_or_not_served_says_so() -> None:
    there = Entry("json", OnnxRuntime, {"fp32": "x"}, "it has no quantiser")
    assert there.obstacle("fp32") is None
    assert there.obstacle("int8") == "serves no int8: it has no quantiser"
    assert (
        Entry("no_such_module", OnnxRuntime, {"fp32": "x"}).obstacle("fp32")
        == "not installed: no module no_such_module"
    )


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_file_that_is_served_is_made(name: str) -> None:
    entry = RUNTIMES[name]
    made = {file for preparation in PREPARATIONS.values() for file in preparation.files}
    assert set(entry.files.values()) <= made
    assert entry.unserved or set(entry.files) == {"fp32", "int8"}


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_runtimes_answer_to_the_image_that_was_put(name: str, tiny: Path) -> None:
    pytest.importorskip(RUNTIMES[name].module)
    runtime = RUNTIMES[name].make(tiny / "fp32.onnx", 1)
    for image, expected in zip(np.load(tiny / "input.npy"), np.load(tiny / "reference.npy"), strict=True):
        runtime.put(image[None])
        runtime.step()
        np.testing.assert_allclose(runtime.answer().reshape(-1), expected, atol=1e-5)
    assert runtime.version
