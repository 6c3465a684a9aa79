"""The accuracy of an architecture by training a child of it, as a part of an evaluator."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nascompiler.data.dataset import Dataset
from nascompiler.data.load import load_dataset
from nascompiler.search.children.network import child_network
from nascompiler.search.children.proxy import Proxy, proxy_dataset
from nascompiler.search.evaluation import Accuracy
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.trial import TrialSpec
from nascompiler.torch_bridge import to_module
from nascompiler.training.devices import reproducible, training_device
from nascompiler.training.trainer import Diverged, Epoch, check_fit, fit


class TrainedAccuracy:
    """Trains a child for each trial and gives its accuracy on the held-out images of the proxy.

    `data` is a data set by name, `proxy` one or its JSON form. The same trial gives the same accuracy, bit for bit, on
    machines of the same kind with the same torch. Raises UsageError or DataError when proxy and data do not fit: before
    the first trial.
    """

    def __init__(self, data: str | Dataset, proxy: Proxy | Mapping[str, Any] | None = None) -> None:
        self.proxy = proxy if isinstance(proxy, Proxy) else Proxy.from_json(proxy or {})
        self.data = proxy_dataset(load_dataset(data) if isinstance(data, str) else data, self.proxy)

    def accuracy(self, trial: TrialSpec) -> Accuracy:
        """Raises TrialFailure: `hopeless` below a floor of the trial, `diverged`, `out of memory`."""
        began = time.monotonic()
        curve: list[float] = []

        def after(epoch: Epoch) -> None:
            curve.append(epoch.held_out_accuracy)
            place = epoch.number - 1
            if place < len(trial.floors) and epoch.held_out_accuracy < trial.floors[place]:
                raise TrialFailure(
                    FailureClass.HOPELESS,
                    f"after epoch {epoch.number} of {self.proxy.recipe.epochs} the accuracy is "
                    f"{epoch.held_out_accuracy:.4f}, and children that got far had {trial.floors[place]:.4f}",
                )

        recipe = self.proxy.recipe
        size, classes = self.data.train.images.shape[1], len(self.data.classes)
        graph = child_network(trial.graph, self.proxy, size=size, classes=classes, seed=trial.seed)
        check_fit(graph, self.data)
        try:
            with reproducible(trial.seed, recipe.threads):
                fit(to_module(graph), self.data, recipe, seed=trial.seed, progress=after)
        except Diverged as error:
            raise TrialFailure(FailureClass.DIVERGED, str(error)) from None
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise TrialFailure(FailureClass.OUT_OF_MEMORY, str(error) or "out of memory") from None
        details = {"training_s": time.monotonic() - began, "seed": trial.seed}
        return Accuracy(float(np.float64(curve[-1])), tuple(curve), details)
