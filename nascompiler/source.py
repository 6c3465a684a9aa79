"""Where an imported graph came from, so that others can be run on the original."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nascompiler.ir import Graph

SOURCE, SOURCE_HASH = "source", "source-sha256"
"""Graph attributes that name the file a graph was imported from, and its SHA-256."""


def remember_source(graph: Graph, path: Path) -> None:
    """Note in the graph which file it came from."""
    graph.attributes[SOURCE] = str(path.resolve())
    graph.attributes[SOURCE_HASH] = hashlib.sha256(path.read_bytes()).hexdigest()


def original_model(graph: Graph) -> Path | None:
    """The ONNX file that the graph came from, if it is there and still the same."""
    path = Path(str(graph.attributes.get(SOURCE, "")))
    if path.suffix != ".onnx" or not path.is_file():
        return None
    unchanged = hashlib.sha256(path.read_bytes()).hexdigest() == graph.attributes.get(SOURCE_HASH)
    return path if unchanged else None
