"""A search space for a data set: its image size, its classes."""

from __future__ import annotations

from nascompiler.data.dataset import Dataset
from nascompiler.data.errors import DataError
from nascompiler.ir import Graph, ModelError, infer_all
from nascompiler.ir.errors import UsageError
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.pipeline import Pipeline, Step, make_pass
from nascompiler.spaces import SearchSpace


def fitted_space(space: SearchSpace, data: Dataset, *, resolution: int | None = None) -> SearchSpace:
    """The space with inputs and classes of the data; `resolution` in pixels, default: the size of its images.

    Raises DataError for data with fewer than two classes, UsageError for images too small for the network.
    """
    if len(data.classes) < 2:
        raise DataError(
            f"{data.name} has {len(data.classes)} class; accepted: two or more, or there is nothing to learn"
        )
    height, width, channels = data.train.images.shape[1:4]
    size = f"{height}x{width}" if resolution is None else f"{resolution}x{resolution}"
    return SearchSpace(fitted_graph(space.graph, size, channels, len(data.classes)))


def fitted_graph(graph: Graph, size: str, channels: int, classes: int) -> Graph:
    """An architecture, open or closed, for images of a size (`HxW` in pixels) and so many channels and classes."""
    try:
        graph = run_pipeline(graph, Pipeline((Step(make_pass("set-resolution", {"size": size})),)))
    except UsageError as error:
        raise UsageError(f"{error}; larger images can be asked for by --resolution") from None
    (image,) = (value for value in graph.inputs if value.type.rank == 4)
    shape = image.type.shape or ()
    if shape[3] != channels:
        graph.set_type(image, image.type.with_shape((*shape[:3], channels)))
    heads = [node for node in graph.nodes if "classes" in node.attributes]
    if not heads:
        raise ModelError(f"{graph.name} has no head with classes, so it cannot be trained on labelled images")
    for head in heads:
        graph.set_attributes(head, classes=classes)
    infer_all(graph)
    return graph
