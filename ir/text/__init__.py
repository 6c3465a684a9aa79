"""The text form of the IR: `parse(print_graph(g))` is structurally `g`, at every level."""

from nascompiler.ir.text.parser import parse
from nascompiler.ir.text.printer import canonical_text, fingerprint, print_graph, structurally_equal

__all__ = ["canonical_text", "fingerprint", "parse", "print_graph", "structurally_equal"]
