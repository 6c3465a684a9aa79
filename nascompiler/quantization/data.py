"""Samples to calibrate with, from whatever the user has: files, arrays, data sets, generators, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nascompiler.ir import Graph
from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.quantization.array_samples import Types, from_arrays, from_file, from_iterable, sole_input
from nascompiler.quantization.generated import DEFAULT_COUNT
from nascompiler.quantization.image_samples import from_data_set, from_folder, from_seed
from nascompiler.quantization.labels import labels
from nascompiler.quantization.network_inputs import batched, input_types
from nascompiler.quantization.normalization import ImageOptions
from nascompiler.quantization.samples import CalibrationData

__all__ = ["CalibrationData", "calibration_data", "labels"]

FORMS = (
    "a folder of images",
    "an .npz file",
    "a .npy file of stacked inputs",
    "an array",
    "arrays by input name",
    "a data set",
    "an iterable of arrays or of arrays by input name",
    "a function that returns one",
)


def calibration_data(
    spec: object,
    graph: Graph,
    *,
    batch: int = 1,
    limit: int | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    channel_order: str = "RGB",
) -> CalibrationData:
    """Samples for the inputs of a graph, in its layout and element types.

    `spec` is one of
    - the path of a folder of images, also in folders within; they are read sorted by path, see `read_pixels`, and
      normalised by `mean` and `deviation`, see `pixel_normalization`, in the order of channels RGB or BGR;
    - the path of an .npz with an array for each input by name (one array under any name for one input), or of a .npy:
      samples stacked along the first axis, as the network takes them; or such arrays themselves, by name if several;
    - a data set of `nascompiler.data` (its training images are taken), a split of one, or anything with
      `batches(size)` that gives NHWC images, with or without labels;
    - an iterable of samples (arrays, or arrays by input name), or a function that returns one; an iterator can be read
      only once;
    - None: images are generated from `seed`, 64 unless there is a limit.

    `limit` takes fewer samples: spread evenly over files and arrays, the first of anything else. `batch` is how many
    samples make a batch where the graph leaves that open. Raises UsageError when nothing can be read, or when it does
    not fit the inputs; samples are checked as they are read.
    """
    if batch < 1 or (limit is not None and limit < 1):
        raise UsageError(f"{'batch' if batch < 1 else 'limit'} must be at least 1")
    types = input_types(graph)
    options = ImageOptions(mean, deviation, channel_order)
    data = _source(spec, graph, types, limit, seed, options)
    if options != ImageOptions() and not data.takes_image_options:
        raise UsageError("mean, std and channel order are for images that are read or generated; this data has its own")
    read = data.read
    return replace(data, read=lambda: batched(read(), graph, batch))


def _source(
    spec: object, graph: Graph, types: Types, limit: int | None, seed: int, options: ImageOptions
) -> CalibrationData:
    if spec is None:
        return from_seed(graph, limit or DEFAULT_COUNT, seed, options)
    if isinstance(spec, (str, Path)):
        path = Path(spec)
        return from_folder(path, graph, limit, options) if path.is_dir() else from_file(path, types, limit, FORMS[:3])
    if isinstance(spec, np.ndarray):
        return from_arrays({sole_input(types, "the array"): spec}, types, limit)
    if isinstance(spec, Mapping):
        return from_arrays({str(name): np.asarray(array) for name, array in spec.items()}, types, limit)
    if hasattr(spec, "batches") or hasattr(spec, "train"):
        return from_data_set(spec, graph, limit)
    if callable(spec) or isinstance(spec, Iterable):
        return from_iterable(spec, types, limit)
    raise UsageError(f"calibration data cannot be a {type(spec).__name__}; accepted: {choices_text(FORMS)}")
