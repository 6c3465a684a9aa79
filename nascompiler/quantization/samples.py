"""Samples for a graph, and what is known about where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler.quantization.network_inputs import Sample

Indices = NDArray[np.int64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class CalibrationData:
    """Samples for a graph. Iterating gives arrays by input name, as `ir.evaluate` takes them; again for each loop."""

    description: str
    """What it is, for people: `64 of 1000 images in photos/`."""
    read: Callable[[], Iterator[Sample]]
    count: int | None = None
    """How many samples there are; None where only reading tells."""
    generated: bool = False
    """Whether nothing was given, so that images were made from a seed: whoever shows results must say so."""
    total: int | None = None
    """How many samples the source has, of which `chosen` were taken."""
    chosen: Indices | None = None
    """Which samples of the source these are, ascending; None where they cannot be chosen."""
    files: tuple[Path, ...] = ()
    """The files of all images of the source, if it is a folder, sorted."""
    folder: Path | None = None
    takes_image_options: bool = False
    """Whether images were read or made, and normalised, here."""
    source_labels: Labels | None = None
    """The classes of all samples of the source, where the source knows them."""

    def __iter__(self) -> Iterator[Sample]:
        return self.read()


def spread(total: int, limit: int | None) -> Indices:
    """Indices of at most `limit` of so many samples, spread evenly: classes are often stored one after the other."""
    count = total if limit is None else min(limit, total)
    return np.arange(count, dtype=np.int64) * total // count


def counted(count: int, total: int, what: str) -> str:
    """`64 of 1000 images`, or `64 images` where that is all."""
    return f"{count} {what}" if count == total else f"{count} of {total} {what}"
