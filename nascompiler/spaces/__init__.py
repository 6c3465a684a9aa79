"""Search spaces: architectures with open choices, as graph files beside this one, and what can be asked of them."""

from nascompiler.spaces.catalogue import load, load_graph, names
from nascompiler.spaces.space import Decisions, SearchSpace, Vector
from nascompiler.spaces.transfer import SKELETONS, stack_cells

__all__ = ["SKELETONS", "Decisions", "SearchSpace", "Vector", "load", "load_graph", "names", "stack_cells"]
