"""The recorded benchmark: a space of which every architecture was trained and measured once."""

from nascompiler.search.recorded.table import Row, load

__all__ = ["Row", "load"]
