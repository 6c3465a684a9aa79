"""Training in torch: a graph with random weights in, one with trained weights out, the same for the same seed."""

from nascompiler.training.accuracy import evaluate_accuracy, predictions
from nascompiler.training.recipe import Recipe
from nascompiler.training.trainer import Epoch, TrainedGraph, fit, module_run, train

__all__ = ["Epoch", "Recipe", "TrainedGraph", "evaluate_accuracy", "fit", "module_run", "predictions", "train"]
