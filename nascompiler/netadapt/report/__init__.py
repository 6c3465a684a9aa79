"""The report of an adaptation as one HTML page."""

from nascompiler.netadapt.report.page import page, save_report

__all__ = ["page", "save_report"]
