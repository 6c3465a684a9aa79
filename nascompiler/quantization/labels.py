"""The classes of calibration samples, for accuracy: from files, arrays, or the folders that images lie in."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nascompiler.ir import Array
from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.quantization.array_files import stored_array
from nascompiler.quantization.image_folder import class_folders
from nascompiler.quantization.samples import CalibrationData, Labels

SUFFIXES = (".npy", ".txt", ".csv")


def labels(spec: str | Path | ArrayLike | None, data: CalibrationData) -> Labels:
    """The class of each sample of `data`, int64 [count], in its order.

    `spec` is a .npy of integers or a .txt with one a line, for all samples of the source in its order (images: sorted
    by path); a .csv of lines `image,label`, images by file name or by path within the folder, labels as numbers or as
    names, which are numbered in sorted order or as the folders are; the labels themselves; or None, where the source
    knows them: a data set, or images in a folder for each class, numbered in sorted order. Raises UsageError for
    anything else, and where there are fewer or more labels than samples.
    """
    if spec is None:
        if data.source_labels is None:
            raise UsageError(
                f"no labels for {data.description}; accepted: a {choices_text(SUFFIXES)} file, or images in a folder "
                "for each class"
            )
        found, where = data.source_labels, "the labels"
    elif isinstance(spec, (str, Path)):
        path = Path(spec)
        found, where = _read(path, data), str(path)
    else:
        found, where = _whole_numbers(np.asarray(spec), "the labels"), "the labels"
    if data.total is not None and len(found) != data.total:
        kind = "fewer" if len(found) < data.total else "more"
        raise UsageError(
            f"{where}: {len(found)} labels for {data.total} samples, {kind} than needed; accepted: one for each"
        )
    return found if data.chosen is None else found[data.chosen]


def _read(path: Path, data: CalibrationData) -> Labels:
    if not path.is_file():
        raise UsageError(f"no such labels: {path}; accepted: a {choices_text(SUFFIXES)} file")
    if path.suffix == ".npy":
        return _whole_numbers(np.stack(list(stored_array(path).entries(range(stored_array(path).shape[0])))), str(path))
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} holds no labels; accepted: a {choices_text(SUFFIXES)} file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if path.suffix == ".txt":
        return _from_lines(path, lines)
    return _from_table(path, lines, data)


def _whole_numbers(array: Array, where: str) -> Labels:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        shape = "x".join(map(str, array.shape)) or "a single number"
        raise UsageError(f"{where}: {array.dtype} {shape}; accepted: one whole number for each sample")
    if array.size and int(array.min()) < 0:
        raise UsageError(f"{where}: label {int(array.min())}; accepted: whole numbers from 0 on")
    return array.astype(np.int64)


def _from_lines(path: Path, lines: list[str]) -> Labels:
    numbers = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            if not line.strip().isdecimal():
                raise UsageError(f"{path}:{number}: {line.strip()!r}; accepted: one whole number a line, from 0 on")
            numbers.append(int(line))
    return np.asarray(numbers, np.int64)


def _from_table(path: Path, lines: list[str], data: CalibrationData) -> Labels:
    """One label for each image of the folder, whatever the order of the lines."""
    if data.folder is None:
        raise UsageError(f"{path} names images; accepted for {data.description}: a .npy or .txt file")
    rows: dict[str, str] = {}
    for number, row in enumerate(csv.reader(lines), 1):
        if not row or (number == 1 and [c.strip().lower() for c in row] == ["image", "label"]):
            continue
        if len(row) != 2:
            raise UsageError(f"{path}:{number}: {','.join(row)!r}; accepted: image,label")
        image, label = (cell.strip() for cell in row)
        if image in rows:
            raise UsageError(f"{path}:{number}: {image} stands there twice")
        rows[image] = label
    within = {file: file.relative_to(data.folder).as_posix() for file in data.files}
    given = [rows.pop(within[f], None) or rows.pop(f.name, None) for f in data.files]
    missing = [within[f] for f, label in zip(data.files, given, strict=True) if label is None]
    problems = []
    if missing:
        problems.append(f"no label for {len(missing)} of {len(given)} images ({_some(missing)})")
    if rows:
        problems.append(f"labels for {len(rows)} images that are not in {data.folder} ({_some(list(rows))})")
    if problems:
        raise UsageError(f"{path}: {'; '.join(problems)}")
    return _numbered([label for label in given if label is not None], data)


def _numbered(given: list[str], data: CalibrationData) -> Labels:
    if all(label.isdecimal() for label in given):
        return np.asarray(list(map(int, given)), np.int64)
    assert data.folder is not None
    folders = class_folders(data.folder, list(data.files))
    classes = folders if set(given) <= set(folders) else tuple(sorted(set(given)))
    return np.asarray([classes.index(label) for label in given], np.int64)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
