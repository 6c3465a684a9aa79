"""Weights of children that were trained, in a folder, so that later ones begin with those of a relative."""

from __future__ import annotations

from pathlib import Path

from nascompiler.ir import Graph, ModelError, files
from nascompiler.spaces import Vector


class WeightStore:
    """One graph file for each architecture, named by its vector. Several processes may use it at once."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def nearest(self, vector: Vector) -> tuple[Vector, Graph] | None:
        """The child that differs in the fewest decisions, the first in order among several; None while there is none.

        A child that is being written, or whose weights are gone, is passed over.
        """
        found = [_vector_of(path.stem) for path in self.folder.glob(f"*{files.SUFFIX}")]
        alike = [other for other in found if len(other) == len(vector)]
        for other in sorted(alike, key=lambda other: (sum(a != b for a, b in zip(vector, other, strict=True)), other)):
            try:
                graph = files.load(self._path(other))
            except ModelError:
                continue
            if not any(value.constant is not None and value.constant.is_placeholder for value in graph.constants):
                return other, graph
        return None

    def keep(self, vector: Vector, trained: Graph) -> None:
        files.save(trained, self._path(vector))

    def _path(self, vector: Vector) -> Path:
        return self.folder / f"{'-'.join(map(str, vector))}{files.SUFFIX}"


def _vector_of(stem: str) -> Vector:
    try:
        return tuple(int(part) for part in stem.split("-"))
    except ValueError:
        return ()
