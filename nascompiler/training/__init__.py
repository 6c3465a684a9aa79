"""Training in torch: a graph with random weights in, one with trained weights out, the same for the same seed.

torch is imported by what needs it, when it is asked for: recipes are read without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nascompiler.training.recipe import Recipe

if TYPE_CHECKING:
    from nascompiler.training.accuracy import evaluate_accuracy, predictions
    from nascompiler.training.trainer import Epoch, TrainedGraph, fit, module_run, train

__all__ = ["Epoch", "Recipe", "TrainedGraph", "evaluate_accuracy", "fit", "module_run", "predictions", "train"]

_MODULES = {"evaluate_accuracy": "accuracy", "predictions": "accuracy"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'trainer')}"), name)
