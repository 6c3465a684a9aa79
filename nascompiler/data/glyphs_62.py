"""glyphs-62 as a data set: drawn once, then mapped from the cache folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.cache import cached_file
from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.data.glyphs import CLASSES, SIZE, SPLITS, VERSION, glyphs

COUNTS = {"train": 20_000, "held_out": 5_000, "test": 5_000}

_RECORD = np.dtype([("image", np.uint8, (SIZE, SIZE, 3)), ("label", np.int64)])
_CHUNK = 500
"""Images drawn at a time, so that little of a file is in memory while it is written."""


def load_glyphs_62(seed: int = 0) -> Dataset:
    """The 62 characters of `glyphs`, 64x64 in colour: 20,000 to train on, 5,000 held out, 5,000 to test.

    The first time this draws them, which takes a minute or two. Raises DataError where matplotlib or pillow is missing
    or the file in the cache is damaged.
    """
    normalization = Normalization()
    splits = {}
    for split in SPLITS:
        records = _records(split, seed)
        splits[split] = Split(records["image"], np.array(records["label"]), normalization)
    return Dataset("glyphs-62", CLASSES, **splits)


def _records(split: str, seed: int) -> NDArray[np.void]:
    """All examples of a split, mapped from the cache."""
    name = f"data/glyphs-62/version{VERSION}-seed{seed}-{split.replace('_', '-')}.npy"
    path, _ = cached_file(name, lambda temporary: _write(temporary, split, seed))
    try:
        records: NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; remove it, and it is made anew") from None
    if records.dtype != _RECORD or records.shape != (COUNTS[split],):
        raise DataError(f"{path} does not hold {COUNTS[split]} glyphs; remove it, and it is made anew")
    return records


def _write(path: Path, split: str, seed: int) -> None:
    glyphs(0, split, seed)  # what is missing shows before a file is begun
    records = np.lib.format.open_memmap(path, "w+", _RECORD, (COUNTS[split],))
    for start in range(0, len(records), _CHUNK):
        images, labels = glyphs(min(_CHUNK, len(records) - start), split, seed, start=start)
        records["image"][start : start + _CHUNK] = images
        records["label"][start : start + _CHUNK] = labels
    records.flush()
