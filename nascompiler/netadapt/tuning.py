"""The part of a step that costs time: a proposal is made of the network before it, trained a little and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nascompiler.data.dataset import Dataset, Split
from nascompiler.data.load import load_dataset
from nascompiler.data.resizing import resized_dataset
from nascompiler.ir import Graph, files, graph_cost
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import ChannelStructure, channel_structure
from nascompiler.netadapt.folder import Folder
from nascompiler.passes.shrink_channels import chosen_channels
from nascompiler.search.evaluation import Evaluation
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.interfaces import EvaluatorRecipe
from nascompiler.search.trial import TrialSpec
from nascompiler.torch_bridge import to_module
from nascompiler.training.accuracy import evaluate_accuracy
from nascompiler.training.devices import reproducible
from nascompiler.training.recipe import Recipe
from nascompiler.training.trainer import Diverged, module_run, train

SHORT = Recipe(
    epochs=1,
    batch_size=64,
    learning_rate=0.01,
    warm_up_epochs=0.0,
    weight_decay=1e-4,
    label_smoothing=0.0,
    shift=0,
    optimizer="sgd",
    momentum=0.9,
)
"""Of proposals; how many steps are taken is said apart. NetAdapt's released code: SGD, momentum 0.9, decay 1e-4."""


class ProposalTrainer:
    """Evaluates trials whose vector is an iteration, then group and count for every group that shrinks.

    The network of the iteration is read from the folder; what comes out of the trial is written there, before the
    trial ends. A vector without groups: the network itself is evaluated. The same trial gives the same network, bit
    for bit, on machines of the same kind.
    """

    def __init__(
        self, folder: str | Path, data: Dataset, recipe: Recipe, steps: int, criterion: str = "l2", device: str = "cpu"
    ) -> None:
        self._folder, self._data = Folder(Path(folder)), data
        self._recipe, self._steps, self._criterion, self._device = recipe, steps, criterion, device
        self._parent: tuple[int, ChannelStructure] | None = None

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        """Raises TrialFailure: `diverged`, `out of memory`."""
        iteration, *pairs = trial.vector
        structure = self._structure(iteration)
        counts = dict(zip(pairs[::2], pairs[1::2], strict=True))
        graph = without_channels(structure, chosen_channels(structure, counts, self._criterion))
        curve: tuple[float, ...] = ()
        try:
            if counts and self._steps:
                tuned = fine_tuned(graph, self._data, self._recipe, self._steps, seed=trial.seed, device=self._device)
                graph, curve = tuned
                accuracy = curve[-1]
            else:
                with reproducible(trial.seed, self._recipe.threads):
                    accuracy = evaluate_accuracy(module_run(to_module(graph)), self._data.held_out)
        except Diverged as error:
            raise TrialFailure(FailureClass.DIVERGED, str(error)) from None
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise TrialFailure(FailureClass.OUT_OF_MEMORY, str(error) or "out of memory") from None
        if counts:
            files.save(graph, self._folder.proposal(trial.number))
        cost = graph_cost(graph)
        return Evaluation(accuracy, {}, cost.params, cost.macs or 0, curve)

    def _structure(self, iteration: int) -> ChannelStructure:
        if self._parent is None or self._parent[0] != iteration:
            self._parent = iteration, channel_structure(self._folder.load(iteration))
        return self._parent[1]


def fine_tuned(
    graph: Graph, data: Dataset, recipe: Recipe, steps: int, *, seed: int, device: str = "cpu"
) -> tuple[Graph, tuple[float, ...]]:
    """The network after so many steps, and its accuracy on the held-out images after each pass over the images.

    Fewer steps than an epoch has are taken on as many images drawn at random; more are whole epochs.
    """
    wanted, count = steps * recipe.batch_size, len(data.train)
    if wanted < count:
        chosen = np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))
        part = Split(data.train.images[chosen], data.train.labels[chosen], data.train.normalization)
        data, recipe = replace(data, train=part), replace(recipe, epochs=1)
    else:
        recipe = replace(recipe, epochs=max(1, round(steps / max(1, count // recipe.batch_size))))
    trained = train(graph, data, recipe, seed=seed, device=device)
    return trained.graph, tuple(epoch.held_out_accuracy for epoch in trained.epochs)


def short_recipe(settings: Mapping[str, Any]) -> Recipe:
    """The recipe of proposals with some settings changed; raises UsageError for those that there are not."""
    return Recipe.from_json({**SHORT.to_json(), **settings})


def images(data: str, resolution: int | None) -> Dataset:
    """A data set by name, at its own size or another."""
    found = load_dataset(data)
    return found if resolution is None else resized_dataset(found, resolution)


def recipe(
    folder: Path, data: str, resolution: int | None, settings: Mapping[str, Any], steps: int, criterion: str
) -> EvaluatorRecipe:
    """How workers make the trainer of proposals."""
    arguments = {
        "folder": str(folder.absolute()),
        "data": data,
        "resolution": resolution,
        "settings": dict(settings),
        "steps": steps,
        "criterion": criterion,
    }
    return EvaluatorRecipe(f"{__name__}:build", arguments)


def build(
    folder: str, data: str, resolution: int | None, settings: Mapping[str, Any], steps: int, criterion: str
) -> ProposalTrainer:
    """The trainer, in a worker; raises UsageError and DataError where data and settings cannot be used."""
    return ProposalTrainer(folder, images(data, resolution), short_recipe(settings), steps, criterion)
