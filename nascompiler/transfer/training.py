"""Training an architecture for good: the winner of a search, or any other, at its full size on all of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nascompiler.data.dataset import Dataset
from nascompiler.ir import Graph, UsageError
from nascompiler.passes import run_pipeline
from nascompiler.search.fitting import fitted_graph
from nascompiler.torch_bridge import to_module
from nascompiler.training.accuracy import evaluate_accuracy
from nascompiler.training.devices import CPU
from nascompiler.training.inheritance import inherit
from nascompiler.training.recipe import Recipe
from nascompiler.training.trainer import Epoch, check_fit, module_run, train


@dataclass(frozen=True)
class Options:
    """What training adds to a network: paths dropped with probability 1 - `keep_paths` (ScheduledDropPath), a second
    classifier (`auxiliary_head`), the weights to begin with (`weights`, see `inherit`)."""

    keep_paths: float = 1.0
    auxiliary_head: bool = False
    weights: Graph | None = None
    device: str = CPU

    def __post_init__(self) -> None:
        if not 0 < self.keep_paths <= 1:
            raise UsageError(f"the chance to keep a path is {self.keep_paths:g}; accepted: numbers above 0 and up to 1")


PLAIN = Options()


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained `nn` graph, what it reached on images it has not seen, and how; `inherited` is the share of weights."""

    graph: Graph
    recipe: Recipe
    seed: int
    epochs: tuple[Epoch, ...]
    held_out_accuracy: float
    test_accuracy: float | None
    inherited: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.graph.name,
            "seed": self.seed,
            "recipe": self.recipe.to_json(),
            "epochs": [vars(epoch) for epoch in self.epochs],
            "held_out_accuracy": self.held_out_accuracy,
            "test_accuracy": self.test_accuracy,
            "inherited": self.inherited,
        }


def train_longer(
    architecture: Graph,
    data: Dataset,
    recipe: Recipe,
    options: Options = PLAIN,
    *,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainedNetwork:
    """Train an architecture, fitted to the images and classes of `data`, or a network (`nn`) as it is.

    The test accuracy is None when the data have no test images. Raises UsageError for an architecture with open
    choices and where it does not fit the data.
    """
    network = network_for(architecture, data, options, seed=seed)
    share = None
    if options.weights is not None:
        inherited = inherit(network, options.weights)
        network, share = inherited.graph, inherited.share
    trained = train(network, data, recipe, seed=seed, progress=progress, device=options.device)
    run = module_run(to_module(trained.graph))
    test = evaluate_accuracy(run, data.test) if len(data.test) else None
    held_out = trained.epochs[-1].held_out_accuracy
    return TrainedNetwork(trained.graph, recipe, seed, trained.epochs, held_out, test, share)


def network_for(architecture: Graph, data: Dataset, options: Options, *, seed: int) -> Graph:
    """The network that is trained: of an architecture, with what `options` add; a network itself."""
    if architecture.choices:
        raise UsageError(
            f"{architecture.name} has {len(architecture.choices)} open choices; close them first, for example by "
            "`nascompiler opt --passes 'decide{seed=0}'`, or take what a search has written"
        )
    if architecture.level != "arch":
        if options.keep_paths < 1 or options.auxiliary_head:
            raise UsageError(
                f"{architecture.name} is a network already: dropped paths and auxiliary heads are for architectures"
            )
        check_fit(architecture, data)
        return architecture
    height, width, channels = data.train.images.shape[1:4]
    graph = fitted_graph(architecture, f"{height}x{width}", channels, len(data.classes))
    passes = []
    if options.keep_paths < 1:
        passes.append(f"annotate-drop-path{{keep={options.keep_paths}}}")
    if options.auxiliary_head:
        passes.append("attach-auxiliary-head")
    return run_pipeline(graph, ",".join([*passes, f"expand-cells{{seed={seed}}}"]))
