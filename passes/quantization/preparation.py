"""A network in the form that quantisation starts from."""

from __future__ import annotations

from nascompiler.ir import Graph, UsageError
from nascompiler.passes.fuse_activations import detach_activations
from nascompiler.passes.infrastructure.manager import run_pipeline
from nascompiler.passes.pipelines import NETWORK

_COMPOSITES = ("squeeze_excite", "lstm_cell")
"""What is quantised in its parts: each has a range of its own."""


def prepare(graph: Graph) -> Graph:
    """The same network with batch norms folded, activations as nodes of their own, and composites taken apart whose
    parts have ranges of their own. `graph` stays as it is.

    Raises UsageError for an architecture or search space, and when a size is not known.
    """
    tidy = "fixpoint(canonicalize,fold-constants,eliminate-common-subexpressions,eliminate-dead-code)"
    composites = ",".join(f"decompose{{ops={name}}}" for name in _COMPOSITES)
    prepared = run_pipeline(graph, ",".join((*NETWORK, composites, tidy)))
    if prepared is graph:
        prepared = graph.clone()
    detach_activations(prepared)
    values = (*prepared.inputs, *(v for n in prepared.nodes for v in n.results))
    unknown = [v for v in values if not v.type.is_static]
    if unknown:
        raise UsageError(
            f"the size of {unknown[0]!r} is not known, and that of {len(unknown) - 1} others: quantising needs all; "
            'give the shapes of the inputs (fix-shapes{shapes="x=1x3x224x224"})'
        )
    return prepared
