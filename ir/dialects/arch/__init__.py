"""The arch dialect: architectures as blocks, cells and stacks, which the pass `expand-cells` turns into `nn`.

What all blocks of one family share (rounding, epsilon, where squeeze-excite takes its ratio from) is not repeated on
every block: the graph's attribute `family` names it. Every attribute may refer to a choice, so a search space is an
architecture with open choices. Types are unknown (`f32[*]`, not printed) until the graph is expanded.
"""

from nascompiler.ir.dialects.arch import blocks, cells, heads, inception, recurrent

__all__ = ["blocks", "cells", "heads", "inception", "recurrent"]
