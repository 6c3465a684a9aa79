"""The architectures of the papers: each a graph file at the arch level, with what was published about it beside it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nascompiler.ir import Graph, files
from nascompiler.ir.errors import unknown

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """What is known about an architecture, from `NAME.toml`.

    `source` names paper and section; `published_params` and `published_macs` are the figures printed there, as they
    are printed, None where there is none; `params` and `macs` (multiply-adds of convolutions and matrix products, for
    the input in the graph) are exact. `note` says what has to be known to compare them.
    """

    name: str
    source: str
    params: int
    macs: int
    published_params: str | None = None
    published_macs: str | None = None
    note: str = ""


def names() -> list[str]:
    """The architectures there are."""
    return sorted(path.stem for path in FOLDER.glob(f"*{files.SUFFIX}"))


def load(name: str) -> Graph:
    """An architecture by name, at the arch level; raises UsageError with the nearest names for an unknown one."""
    return files.load(_path(name))


@cache
def entry(name: str) -> Entry:
    """What is known about an architecture; raises UsageError for an unknown one."""
    text = _path(name).with_suffix(".toml").read_text(encoding="utf-8")
    return Entry(name, **{key.replace("-", "_"): value for key, value in tomllib.loads(text).items()})


def _path(name: str) -> Path:
    if name not in names():
        raise unknown("model", name, names())
    return FOLDER / f"{name}{files.SUFFIX}"
