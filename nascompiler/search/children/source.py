"""The accuracy of an architecture by training a child of it, as a part of an evaluator."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from nascompiler.data.dataset import Dataset
from nascompiler.data.load import load_dataset
from nascompiler.ir import Graph
from nascompiler.search.children.network import child_network
from nascompiler.search.children.proxy import Proxy, proxy_dataset
from nascompiler.search.children.store import WeightStore
from nascompiler.search.evaluation import Accuracy
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.trial import TrialSpec
from nascompiler.torch_bridge import from_module, to_module
from nascompiler.training.devices import reproducible, training_device
from nascompiler.training.inheritance import inherit
from nascompiler.training.trainer import Diverged, Epoch, check_fit, fit


class TrainedAccuracy:
    """Trains a child for each trial and gives its accuracy on the held-out images of the proxy.

    `data` is a data set or its name, `proxy` one or its JSON form, `device` where to train (`auto`: CUDA where there
    is one). The same trial gives the same accuracy, bit for bit, on machines of the same kind with the same torch,
    unless the proxy has children inherit weights: then it also depends on which children were trained before.
    Raises UsageError or DataError when proxy and data do not fit: before the first trial.
    """

    def __init__(
        self, data: str | Dataset, proxy: Proxy | Mapping[str, Any] | None = None, *, device: str = "auto"
    ) -> None:
        self.proxy = proxy if isinstance(proxy, Proxy) else Proxy.from_json(proxy or {})
        self.device = training_device(device)
        self.data = proxy_dataset(load_dataset(data) if isinstance(data, str) else data, self.proxy)
        self._store = WeightStore(self.proxy.inherit) if self.proxy.inherit else None

    def accuracy(self, trial: TrialSpec) -> Accuracy:
        """Raises TrialFailure: `hopeless` below a floor of the trial, `diverged`, `out of memory`."""
        began = time.monotonic()
        size, classes = self.data.train.images.shape[1], len(self.data.classes)
        graph = child_network(trial.graph, self.proxy, size=size, classes=classes, seed=trial.seed)
        details: dict[str, Any] = {}
        if self._store is not None and (found := self._store.nearest(trial.vector)) is not None:
            parent, weights = found
            inherited = inherit(graph, weights)
            graph = inherited.graph
            details = {"parent": list(parent), "inherited": inherited.share}
        curve = self._trained(graph, trial)
        return Accuracy(curve[-1], curve, {"training_s": time.monotonic() - began, **details})

    def _trained(self, graph: Graph, trial: TrialSpec) -> tuple[float, ...]:
        """The accuracy after each epoch."""
        check_fit(graph, self.data)
        curve: list[float] = []

        def after(epoch: Epoch) -> None:
            curve.append(epoch.held_out_accuracy)
            self._give_up_if_hopeless(curve, trial.floors)

        recipe = self.proxy.recipe
        try:
            with reproducible(trial.seed, recipe.threads):
                module = to_module(graph)
                fit(module, self.data, recipe, seed=trial.seed, progress=after, device=self.device)
        except Diverged as error:
            raise TrialFailure(FailureClass.DIVERGED, str(error)) from None
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise TrialFailure(FailureClass.OUT_OF_MEMORY, str(error) or "out of memory") from None
        if self._store is not None:
            self._store.keep(trial.vector, from_module(graph, module))
        return tuple(curve)

    def _give_up_if_hopeless(self, curve: list[float], floors: tuple[float, ...]) -> None:
        reached, floor = curve[-1], floors[len(curve) - 1] if len(curve) <= len(floors) else 0.0
        if reached < floor:
            raise TrialFailure(
                FailureClass.HOPELESS,
                f"after epoch {len(curve)} of {self.proxy.recipe.epochs} the accuracy is {reached:.4f}; to go on it "
                f"takes {floor:.4f}",
            )
