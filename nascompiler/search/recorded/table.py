"""The recorded results, as they ship: for each architecture of the space its accuracy, and its latency where taken."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files as package_files
from typing import Any

from nascompiler.search.recorded.benchmark import SPACE, vector_of, vector_text
from nascompiler.spaces import Vector

FILE = f"{SPACE}.csv.gz"


@dataclass(frozen=True)
class Row:
    """An architecture: accuracy of the child of seed 0 on held-out images and after each epoch; size of the network;
    latency, a median with its spread, in ns, None where it was not measured."""

    vector: Vector
    accuracy: float
    curve: tuple[float, ...]
    parameters: int
    macs: int
    latency_ns: float | None = None
    spread_ns: float | None = None


COLUMNS = tuple(field.name for field in fields(Row))


@cache
def load() -> Mapping[Vector, Row]:
    """All rows that ship, by vector, in the order of the space."""
    packed = package_files(__package__).joinpath(FILE).read_bytes()
    return {row.vector: row for row in read(gzip.decompress(packed).decode())}


def read(text: str) -> Iterable[Row]:
    """The rows of a table in CSV."""
    return [_row(entry) for entry in csv.DictReader(io.StringIO(text))]


def write(rows: Sequence[Row]) -> str:
    """The table in CSV, the same for the same rows."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(
            [
                vector_text(row.vector),
                f"{row.accuracy:.6f}",
                " ".join(f"{accuracy:.6f}" for accuracy in row.curve),
                row.parameters,
                row.macs,
                "" if row.latency_ns is None else f"{row.latency_ns:.0f}",
                "" if row.spread_ns is None else f"{row.spread_ns:.0f}",
            ]
        )
    return file.getvalue()


def packed(rows: Sequence[Row]) -> bytes:
    """The table as it ships; no time of writing in it, so that the same rows give the same bytes."""
    return gzip.compress(write(rows).encode(), mtime=0)


def _row(entry: Mapping[str, Any]) -> Row:
    return Row(
        vector_of(entry["vector"]),
        float(entry["accuracy"]),
        tuple(map(float, entry["curve"].split())),
        int(entry["parameters"]),
        int(entry["macs"]),
        float(entry["latency_ns"]) if entry["latency_ns"] else None,
        float(entry["spread_ns"]) if entry["spread_ns"] else None,
    )
