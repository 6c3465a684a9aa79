"""The error of this package."""

from nascompiler.ir.errors import Error


class DataError(Error):
    """A model or data set cannot be had here; the message says which package would give it."""
