"""The report of a search: one page with everything on it."""

from nascompiler.search.report.page import save_report

__all__ = ["save_report"]
