"""Graphs on disk: readable text in `NAME.nir`, the larger constants by hash in `NAME.safetensors` beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from nascompiler.ir.errors import ModelError, ParseError
from nascompiler.ir.graph import Graph
from nascompiler.ir.text import parse, print_graph
from nascompiler.ir.text.syntax import INLINE_ELEMENTS
from nascompiler.ir.types import Array

SUFFIX = ".nir"


def weights_path(path: str | Path) -> Path:
    """Where the constants of the graph file `path` live."""
    return Path(path).with_suffix(".safetensors")


def save(graph: Graph, path: str | Path) -> None:
    """Write a graph and its constants; each file appears whole or not at all. Placeholders are kept by hash only."""
    path = Path(path)
    tensors = stored_constants(graph)
    if tensors:
        with replacing(weights_path(path)) as temporary:
            save_file(dict(tensors), str(temporary))
    write_text(path, print_graph(graph))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file that appears whole or not at all."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load(path: str | Path, *, weights: bool = True) -> Graph:
    """Read a graph file; without the file of weights, its larger constants are placeholders.

    Raises ParseError for text that is not ours, ModelError for unreadable files and weights that belie their hash.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ParseError("not a text file", file=str(path), line=1, column=1) from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from None
    store = weights_path(path)
    if not (weights and store.exists()):
        return parse(text, file=str(path))
    graph = parse(text, constants=read_constants(store), file=str(path))
    return graph


def stored_constants(graph: Graph) -> dict[str, Array]:
    """Content hash -> array of every constant, cells included, that the text form does not spell out."""
    found: dict[str, Array] = {}
    for part in (graph, *graph.cells.values()):
        for value in part.constants:
            constant = value.constant
            assert constant is not None
            if not constant.is_placeholder and constant.array.size > INLINE_ELEMENTS:
                found[constant.digest] = np.ascontiguousarray(constant.array)
    return found


def read_constants(path: Path) -> Mapping[str, Array]:
    """The arrays of a weights file by content hash; the hash is checked. Raises ModelError when it is damaged."""
    from nascompiler.ir.constant import Constant

    try:
        with safe_open(str(path), framework="numpy") as file:
            arrays: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ModelError(f"cannot read the weights in {path}: {error}") from None
    for digest, array in arrays.items():
        array.flags.writeable = False
        if Constant.of(array).digest != digest:
            raise ModelError(f"{path}: the tensor {digest} does not match its hash; the file is damaged")
    return arrays


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
