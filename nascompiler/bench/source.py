"""The ONNX model that other runtimes run when they are measured against an artifact."""

from __future__ import annotations

from pathlib import Path

from nascompiler.backends.artifact import BEFORE
from nascompiler.ir.files import load
from nascompiler.source import original_model


def peer_model(folder: Path, scratch: Path) -> Path:
    """The file that the artifact was compiled from, while it is still the same; else an export, into `scratch`."""
    graph = load(folder / BEFORE)
    original = original_model(graph)
    if original is not None:
        return original
    from nascompiler.onnx import save_onnx  # here: workers of our own need none of it

    exported = scratch / "model.onnx"
    save_onnx(graph, exported)
    return exported
