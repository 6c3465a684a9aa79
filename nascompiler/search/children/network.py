"""The child: the network that is trained for an architecture, as the proxy makes it."""

from __future__ import annotations

from nascompiler.ir import Graph
from nascompiler.passes import run_pipeline
from nascompiler.search.children.proxy import Proxy


def child_network(architecture: Graph, proxy: Proxy, *, size: int, classes: int, seed: int) -> Graph:
    """An `nn` graph with random weights for images size x size: `classes` logits, fewer cells, narrower."""
    passes = [f"set-resolution{{size={size}}}", f"attach-head{{head=classifier,classes={classes}}}"]
    graph = with_fewer_cells(architecture, proxy.cells) if proxy.cells else architecture
    if proxy.width < 1:
        passes.append(f"scale-width{{multiplier={proxy.width}}}")
    # Statistics of batch norms come from the training, so none are needed here.
    passes.append(f"expand-cells{{seed={seed},statistics=random}}")
    return run_pipeline(graph, ",".join(passes))


def with_fewer_cells(architecture: Graph, most: int) -> Graph:
    """The architecture with at most so many cells in each stack."""
    graph = architecture.clone()
    for node in list(graph.nodes):
        if node.op.name == "arch.stack" and isinstance(repeats := node["repeats"], int) and repeats > most:
            graph.set_attributes(node, repeats=most)
    return graph
