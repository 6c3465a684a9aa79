"""What `expand-cells` is made of: families, the context of an expansion, and an expander for every arch op."""

from nascompiler.passes.expansion.context import Expansion
from nascompiler.passes.expansion.families import FAMILIES, Family, family_of
from nascompiler.passes.expansion.initialization import Weights
from nascompiler.passes.expansion.table import EXPANDERS, Expander

__all__ = ["EXPANDERS", "FAMILIES", "Expander", "Expansion", "Family", "Weights", "family_of"]
