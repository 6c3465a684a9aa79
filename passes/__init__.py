"""The pass manager, the pattern rewriter and every pass, one a file with its test beside it in name."""

if __name__ != "nascompiler.passes":
    raise ImportError("import nascompiler.passes, not passes")

from nascompiler.passes.infrastructure.base import Exact, Nothing, Pass, PassContext, Tolerance
from nascompiler.passes.infrastructure.manager import PassManager, run_pipeline
from nascompiler.passes.infrastructure.patterns import Match, Pattern, anything, constant, op
from nascompiler.passes.infrastructure.pipeline import Fixpoint, Pipeline, Step
from nascompiler.passes.infrastructure.registry import PASSES, load_script, register_pass
from nascompiler.passes.infrastructure.rewriter import RewritePass, Rewriter, Rule, apply_rules

__all__ = [
    "PASSES",
    "Exact",
    "Fixpoint",
    "Match",
    "Nothing",
    "Pass",
    "PassContext",
    "PassManager",
    "Pattern",
    "Pipeline",
    "RewritePass",
    "Rewriter",
    "Rule",
    "Step",
    "Tolerance",
    "anything",
    "apply_rules",
    "constant",
    "load_script",
    "op",
    "register_pass",
    "run_pipeline",
]
