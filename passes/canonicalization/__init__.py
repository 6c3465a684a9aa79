"""The rules of the pass `canonicalize`, by subject. Each keeps the outputs bit for bit, up to the sign of a zero."""

from __future__ import annotations

from nascompiler.passes.canonicalization import (
    arithmetic,
    dynamic,
    joining,
    linear,
    quantization,
    ranges,
    reshaping,
    slicing,
    windows,
)
from nascompiler.passes.infrastructure.rewriter import Rule

__all__ = ["canonical_rules"]


def canonical_rules() -> tuple[Rule, ...]:
    """All rules, over the ops that are known by now: some are about every op with a trait, users' ops included."""
    return (
        *dynamic.rules(),
        *arithmetic.rules(),
        *ranges.RULES,
        *reshaping.RULES,
        *slicing.RULES,
        *joining.RULES,
        *windows.RULES,
        *linear.RULES,
        *quantization.RULES,
    )
