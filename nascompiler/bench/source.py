"""The ONNX model that other runtimes run when they are measured against an artifact."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nascompiler.backends.artifact import load_source, read_manifest
from nascompiler.onnx import save_onnx


def peer_model(folder: Path, scratch: Path) -> Path:
    """The file that the artifact was compiled from, while it is still the same; else an export of its source graph.

    The export goes into `scratch`.
    """
    manifest = read_manifest(folder)
    source = manifest.source
    if source is not None and source.path.endswith(".onnx"):
        path = Path(source.path)
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256:
            return path
    exported = scratch / "model.onnx"
    save_onnx(load_source(folder), exported)
    return exported
