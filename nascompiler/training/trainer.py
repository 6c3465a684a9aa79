"""Training a network: from a graph with random or earlier weights to one with trained weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nascompiler.data.dataset import Dataset, Split
from nascompiler.ir import Graph, UsageError
from nascompiler.passes import run_pipeline
from nascompiler.torch_bridge import GraphModule, from_module, to_module
from nascompiler.training.accuracy import Run, evaluate_accuracy
from nascompiler.training.augmentation import flipped, recoloured, shifted
from nascompiler.training.averaging import WeightAverage
from nascompiler.training.devices import CPU, reproducible, step_on
from nascompiler.training.optimizers import make_optimizer
from nascompiler.training.recipe import Recipe


class Diverged(UsageError):
    """Training whose loss is no longer a number."""


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch, counted from 1: mean loss over it, accuracy on the held-out images after it."""

    number: int
    loss: float
    held_out_accuracy: float
    duration_s: float


@dataclass(frozen=True)
class TrainedGraph:
    """The graph with trained weights, and how it came about."""

    graph: Graph
    recipe: Recipe
    seed: int
    epochs: tuple[Epoch, ...]


def train(
    graph: Graph,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
    device: str = CPU,
) -> TrainedGraph:
    """Train all weights of an `nn` graph, which has one input [N, H, W, C] and one output, logits [N, classes].

    Further outputs are auxiliary heads: they have a loss of their own and are gone from the result. The same graph,
    data, recipe and seed give the same weights, bit for bit, on machines of the same kind with the same torch.
    `progress` is told of every epoch. Raises UsageError when graph and data do not fit, Diverged (a UsageError) when
    the loss is no longer a number.
    """
    check_fit(graph, data)
    with reproducible(seed, recipe.threads):
        module = to_module(graph)
        epochs = fit(module, data, recipe, seed=seed, progress=progress, device=device)
    return TrainedGraph(without_auxiliary(from_module(graph, module)), recipe, seed, epochs)


def without_auxiliary(graph: Graph) -> Graph:
    """The graph with its first output alone; the graph itself when it has no other."""
    if len(graph.outputs) == 1:
        return graph
    alone = graph.clone()
    alone.set_outputs({graph.output_names[0]: alone.outputs[0]})
    return run_pipeline(alone, "eliminate-dead-code")


def fit(
    module: GraphModule,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
    device: str = CPU,
) -> tuple[Epoch, ...]:
    """Train the parameters of a module as the recipe says; leaves it in evaluation mode, on the CPU. See `train`."""
    module.to(device)
    loss_function = _Loss(recipe)
    optimizer = make_optimizer(module, recipe)
    average = WeightAverage(module, recipe.average) if recipe.average else None
    # Batch statistics of a small rest would be poor, so an epoch ends with the last full batch.
    steps = max(1, len(data.train) // recipe.batch_size)
    rows = []
    for number in range(recipe.epochs):
        began, total = time.monotonic(), 0.0
        module.train()
        for step, (images, labels) in zip(
            range(steps), training_batches(data.train, recipe, seed, number), strict=False
        ):
            module.set_drop_path_progress((number + step / steps) / recipe.epochs)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at((number * steps + step + 1) / (recipe.epochs * steps))
            with step_on(device):
                loss = loss_function(module(torch.from_numpy(images).to(device)), torch.from_numpy(labels).to(device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if recipe.clip_norm:
                    nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)
                optimizer.step()
                if average is not None:
                    average.update()
            total += float(loss.detach())
        if not isfinite(total):
            raise Diverged(f"training {data.name} diverges in epoch {number + 1}: the mean loss is {total / steps}")
        with average.applied() if average is not None else nullcontext():
            accuracy = evaluate_accuracy(module_run(module), data.held_out)
        rows.append(Epoch(number + 1, total / steps, accuracy, time.monotonic() - began))
        if progress is not None:
            progress(rows[-1])
    if average is not None:
        average.assign()
    module.eval().to("cpu")
    return tuple(rows)


class _Loss:
    """Cross entropy of the first output, and of further ones (auxiliary heads) with their weight."""

    def __init__(self, recipe: Recipe) -> None:
        self._of_logits = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self._auxiliary = recipe.auxiliary

    def __call__(self, outputs: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
        if isinstance(outputs, Tensor):
            loss: Tensor = self._of_logits(outputs, labels)
            return loss
        first, *others = (self._of_logits(logits, labels) for logits in outputs)
        for other in others:
            first = first + self._auxiliary * other
        total: Tensor = first
        return total


def training_batches(
    split: Split, recipe: Recipe, seed: int, epoch: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Shuffled, varied and preprocessed batches of one epoch, [batch, H, W, C] and labels [batch]."""
    generator = np.random.default_rng([seed, epoch])
    for chosen in split.indices(recipe.batch_size, int(generator.integers(2**31))):
        images = shifted(split.images[chosen], recipe.shift, generator)
        if recipe.recolour:
            images = recoloured(images, generator)
        if recipe.flip:
            images = flipped(images, generator)
        yield split.normalization(images), split.labels[chosen]


def module_run(module: GraphModule) -> Run:
    """The module, put in evaluation mode, as a function of arrays, its first output, for `evaluate_accuracy`."""

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        module.eval()
        device = next(module.parameters()).device
        with torch.inference_mode():
            outputs = module(torch.from_numpy(images).to(device))
        logits: NDArray[np.float32] = (outputs[0] if isinstance(outputs, tuple) else outputs).cpu().numpy()
        return logits

    return run


def check_fit(graph: Graph, data: Dataset) -> None:
    """Raise UsageError, listing every reason, unless the graph takes the images of `data` and tells its classes."""
    faults = [
        f"{data.name} has no images {purpose}"
        for purpose, split in (("to train on", data.train), ("held out", data.held_out))
        if not len(split)
    ]
    expected = data.train.images.shape[1:]
    if len(graph.inputs) != 1 or (graph.inputs[0].type.shape or ())[1:] != expected:
        named = ", ".join(f"{value.name} {value.type}" for value in graph.inputs)
        faults.append(f"its inputs are {named or 'none'}; accepted: one image [N, {', '.join(map(str, expected))}]")
    if {(value.type.shape or ())[1:] for value in graph.outputs} != {(len(data.classes),)}:
        named = ", ".join(f"{name} {v.type}" for name, v in zip(graph.output_names, graph.outputs, strict=True))
        faults.append(f"its outputs are {named or 'none'}; accepted: logits [N, {len(data.classes)}]")
    faults += class_faults(data)
    if faults:
        raise UsageError(
            "\n".join([f"{graph.name!r} does not fit the data set {data.name}:", *(f"  {f}" for f in faults)])
        )


def class_faults(data: Dataset) -> list[str]:
    """What keeps a data set from teaching anything: fewer than two classes, or one class only among its labels."""
    if len(data.classes) < 2:
        return [f"{data.name} has {len(data.classes)} class; accepted: two or more"]
    present = np.unique(data.train.labels)
    if len(present) == 1:
        return [f"all images of {data.name} to train on are of the class {data.classes[present[0]]!r}"]
    return []
