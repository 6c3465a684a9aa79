"""What can go wrong with a search as a whole."""

from __future__ import annotations

from nascompiler.ir.errors import Error


class StudyError(Error):
    """A study file that is damaged, foreign, of another version, in use, or not to be read or written."""

    exit_code = 5


class SearchError(Error):
    """A search in which nothing could be evaluated."""

    exit_code = 6
