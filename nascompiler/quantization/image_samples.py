"""Samples from images: a folder of them, a data set, or images made from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler.ir import Graph
from nascompiler.ir.errors import UsageError
from nascompiler.quantization.generated import generated_images, generated_samples
from nascompiler.quantization.image_folder import class_folders, image_files, read_pixels
from nascompiler.quantization.network_inputs import Sample, image_input
from nascompiler.quantization.normalization import ImageOptions, pixel_normalization
from nascompiler.quantization.samples import CalibrationData, counted, spread


def from_seed(graph: Graph, count: int, seed: int, options: ImageOptions) -> CalibrationData:
    """Images, or noise for inputs that are none, made from a seed."""
    image = image_input(graph)
    if isinstance(image, str):
        what, read = "samples of noise", lambda: generated_samples(count, seed, graph)
    else:
        normalize = pixel_normalization(graph, image, options)
        what, read = "images", lambda: generated_images(count, seed, image, normalize)
    words = f"{count} {what} generated from seed {seed}: no data was given, and those of real data may differ"
    return CalibrationData(
        words,
        read,
        count,
        generated=True,
        total=count,
        chosen=np.arange(count),
        takes_image_options=not isinstance(image, str),
    )


def from_folder(folder: Path, graph: Graph, limit: int | None, options: ImageOptions) -> CalibrationData:
    """The images in a folder and the folders in it."""
    image = image_input(graph)
    if isinstance(image, str):
        raise UsageError(f"{folder} is a folder of images, but {image}; accepted: an .npz or .npy file of its inputs")
    normalize = pixel_normalization(graph, image, options)
    files = image_files(folder)
    chosen = spread(len(files), limit)
    classes = class_folders(folder, files)
    labels = [classes.index(f.relative_to(folder).parts[0]) for f in files] if classes else None
    return CalibrationData(
        f"{counted(len(chosen), len(files), 'images')} in {folder}",
        lambda: ({image.name: image.laid_out(normalize(read_pixels(files[i], image), image.dtype))} for i in chosen),
        len(chosen),
        total=len(files),
        chosen=chosen,
        files=tuple(files),
        folder=folder,
        takes_image_options=True,
        source_labels=None if labels is None else np.asarray(labels, np.int64),
    )


def from_data_set(spec: Any, graph: Graph, limit: int | None) -> CalibrationData:
    """Images of a data set's training split, or of a split; by index where it has `images` and `normalization`."""
    image = image_input(graph)
    if isinstance(image, str):
        raise UsageError(f"data sets have images, but {image}")
    if not image.dtype.is_float:
        raise UsageError(f"data sets have normalised images; the input {image.name!r} takes {image.dtype}")
    split = spec if hasattr(spec, "batches") else spec.train
    name = f"the training images of {spec.name}" if hasattr(spec, "name") else "the images of a data set"

    def laid_out(pixels: Any) -> Sample:
        wanted = (image.height, image.width, image.channels)
        if np.ndim(pixels) != 4 or np.shape(pixels)[1:] != wanted:
            raise UsageError(
                f"{name} are {'x'.join(map(str, np.shape(pixels)[1:]))}, NHWC; the network {graph.name} takes "
                f"{'x'.join(map(str, wanted))}"
            )
        return {image.name: np.concatenate([image.laid_out(p) for p in np.asarray(pixels)])}

    if hasattr(split, "images") and hasattr(split, "normalization"):
        chosen = spread(len(split), limit)
        return CalibrationData(
            f"{len(chosen)} of {name}",
            lambda: (laid_out(split.normalization(split.images[np.array([i])])) for i in chosen),
            len(chosen),
            total=len(split),
            chosen=chosen,
            source_labels=np.asarray(split.labels, np.int64) if hasattr(split, "labels") else None,
        )

    def read() -> Iterator[Sample]:
        for item in islice(split.batches(1), limit):
            yield laid_out(item[0] if isinstance(item, tuple) else item)

    return CalibrationData(name, read)
