"""Measurements of kernel calls: a base that ships with the package, and what was measured on this machine."""

from nascompiler.backends.store.measurements import Measurements, base_path, known_measurements, overlay_path
from nascompiler.backends.store.rows import DISTURBED, Outcome, Row, Session, Tuning
from nascompiler.backends.store.store import Store

__all__ = [
    "DISTURBED",
    "Measurements",
    "Outcome",
    "Row",
    "Session",
    "Store",
    "Tuning",
    "base_path",
    "known_measurements",
    "overlay_path",
]
