"""The rules of the pass `canonicalize`, by subject. Each keeps the outputs bit for bit, up to the sign of a zero."""

from __future__ import annotations

from functools import lru_cache

from nascompiler.ir import OPS
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
    return _rules_over(tuple(OPS))


@lru_cache(maxsize=4)
def _rules_over(ops: tuple[str, ...]) -> tuple[Rule, ...]:
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
