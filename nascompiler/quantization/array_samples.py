"""Samples from arrays: in files, in memory, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler.ir import Array, TensorType
from nascompiler.ir.errors import UsageError, choices_text, unknown
from nascompiler.quantization.array_files import stored_array, stored_arrays
from nascompiler.quantization.network_inputs import Sample, entries_of, one_entry
from nascompiler.quantization.samples import CalibrationData, counted, spread

Types = Mapping[str, TensorType]


def from_file(path: Path, types: Types, limit: int | None, forms: Sequence[str]) -> CalibrationData:
    """The samples in a .npy or .npz file; `forms` are what errors say would be accepted."""
    if not path.exists():
        raise UsageError(f"no such calibration data: {path}; accepted: {choices_text(forms)}")
    if path.suffix == ".npy":
        stored = {sole_input(types, str(path)): stored_array(path)}
    elif path.suffix == ".npz":
        found = stored_arrays(path)
        alone = len(found) == len(types) == 1
        stored = {next(iter(types)): next(iter(found.values()))} if alone else found
    else:
        raise UsageError(f"{path} is no calibration data; accepted: {choices_text(forms)}")
    _check_names(stored, types, str(path))
    for name, array in stored.items():  # by a stand-in of the same shape that has no memory
        stand_in = np.broadcast_to(np.zeros((), array.dtype), array.shape)
        entries_of(stand_in, name, types[name], array.label)
    count = _common_count({array.label: array.shape[0] for array in stored.values()})
    whole = {n: len(a.shape) > len(types[n].shape or ()) for n, a in stored.items()}
    chosen = spread(count, limit)

    def read() -> Iterator[Sample]:
        streams = {n: a.entries(chosen.tolist()) for n, a in stored.items()}
        for entries in zip(*streams.values(), strict=True):
            yield {n: e if whole[n] else e[None] for n, e in zip(streams, entries, strict=True)}

    words = f"{counted(len(chosen), count, 'samples')} in {path}"
    return CalibrationData(words, read, len(chosen), total=count, chosen=chosen)


def from_arrays(arrays: Mapping[str, Array], types: Types, limit: int | None) -> CalibrationData:
    """Samples stacked in arrays, one for each input."""
    _check_names(arrays, types, "the arrays")
    entries = {n: entries_of(arrays[n], n, types[n], f"the array for {n!r}") for n in arrays}
    count = _common_count({f"the array for {n!r}": len(e) for n, e in entries.items()})
    if not count:
        raise UsageError("no calibration data: the arrays hold no samples")
    chosen = spread(count, limit)
    return CalibrationData(
        f"{counted(len(chosen), count, 'samples')} given as arrays",
        lambda: ({n: e[i] for n, e in entries.items()} for i in chosen),
        len(chosen),
        total=count,
        chosen=chosen,
    )


def from_iterable(
    spec: Callable[[], Iterable[Any]] | Iterable[Any], types: Types, limit: int | None
) -> CalibrationData:
    """Samples one by one, from something that can be iterated or from a function that returns that."""
    once = isinstance(spec, Iterator)
    started = False

    def read() -> Iterator[Sample]:
        nonlocal started
        if once and started:
            raise UsageError(
                "an iterator of samples can be read only once; give a list, or a function that returns one"
            )
        started = True
        items = spec() if callable(spec) else spec
        if not isinstance(items, Iterable):
            raise UsageError(
                f"the function for calibration data returned {type(items).__name__}; accepted: an iterable"
            )
        for number, item in enumerate(islice(items, limit)):
            where = f"sample {number}"
            arrays = item if isinstance(item, Mapping) else {sole_input(types, where): item}
            _check_names(arrays, types, where)
            yield {n: one_entry(np.asarray(a), n, types[n], where) for n, a in arrays.items()}

    return CalibrationData("samples given one by one", read)


def sole_input(types: Types, where: str) -> str:
    """The name of the only input; raises UsageError when there are several."""
    if len(types) != 1:
        names = ", ".join(map(repr, types))
        raise UsageError(f"{where}: one array for {len(types)} inputs; accepted: arrays by name, {names}")
    return next(iter(types))


def _check_names(given: Iterable[str], types: Types, where: str) -> None:
    names = list(given)
    for name in names:
        if name not in types:
            raise UsageError(f"{where}: {unknown('input', str(name), types)}")
    missing = [repr(n) for n in types if n not in names]
    if missing:
        raise UsageError(f"{where}: nothing for the input{'s' * (len(missing) > 1)} {', '.join(missing)}")


def _common_count(counts: Mapping[str, int]) -> int:
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{label}: {count}" for label, count in counts.items())
        raise UsageError(f"different numbers of samples ({said})")
    return next(iter(counts.values()))
