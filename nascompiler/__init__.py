"""A compiler for neural networks and for the search spaces they come from."""

__version__ = "0.1.0"
