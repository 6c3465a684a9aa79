"""Which channels of a group are worth keeping."""

from nascompiler.passes.shrinking.criteria import (
    CRITERIA,
    Criterion,
    Scores,
    criterion,
    filter_norms,
    largest,
    register_criterion,
)

__all__ = ["CRITERIA", "Criterion", "Scores", "criterion", "filter_norms", "largest", "register_criterion"]
