"""What a user changes about an architecture without editing it, and its way to a network."""

from __future__ import annotations

from nascompiler.ir import Graph, UsageError
from nascompiler.passes import Pipeline, run_pipeline
from nascompiler.passes.infrastructure.pipeline import Step, make_pass


def specialize(
    graph: Graph, *, width: float | None = None, resolution: int | str | None = None, head: str | None = None
) -> Graph:
    """The architecture with another head, width multiplier and input size, in this order; None leaves each as it is.

    `resolution` is in pixels, `224` or `"1024x2048"` (height x width). A network can only become narrower. Raises
    UsageError for values that are not accepted, naming those that are.
    """
    steps = []
    if head is not None:
        steps.append(Step(make_pass("attach-head", {"head": head})))
    if width is not None:
        steps.append(Step(make_pass("scale-width", {"multiplier": width})))
    if resolution is not None:
        steps.append(Step(make_pass("set-resolution", {"size": resolution})))
    if graph.level != "arch" and (head is not None or resolution is not None):
        raise UsageError(
            f"resolution and head apply to architectures (see `nascompiler zoo`); {graph.name} is a network already: "
            "give open sizes by --shape"
        )
    return run_pipeline(graph, Pipeline(tuple(steps))) if steps else graph


def expanded(graph: Graph, *, passes: str | None = None, seed: int = 0) -> Graph:
    """The network of an architecture, with random weights by `seed`; a network stays as it is.

    An architecture stays one when `passes`, the pipeline to come, expands it itself. Raises UsageError for a search
    space, of which choices are open.
    """
    if graph.level != "arch" or (passes is not None and _expands(passes)):
        return graph
    if graph.choices:
        raise UsageError(
            f"{graph.name} is a search space with {len(graph.choices)} open choices; accepted: an architecture of it, "
            "which `nascompiler search` finds, or any: nascompiler opt SPACE --passes 'decide{seed=3}' -o chosen.nir"
        )
    return run_pipeline(graph, f"expand-cells{{seed={seed}}}")


def _expands(passes: str) -> bool:
    return any(step.name == "expand-cells" for step in Pipeline.parse(passes).passes())
