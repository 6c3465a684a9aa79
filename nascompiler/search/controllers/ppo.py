"""Proximal policy optimisation (arXiv:1707.06347) of the LSTM policy, as NASNet and MnasNet search."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, replace
from math import inf, sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.errors import UsageError
from nascompiler.search.controllers.adam import Adam
from nascompiler.search.controllers.decisions import DecisionTable
from nascompiler.search.controllers.generator_state import (
    array_state,
    generator_state,
    restored_array,
    restored_generator,
)
from nascompiler.search.controllers.policy import Pass, Policy, Taken
from nascompiler.search.interfaces import State
from nascompiler.spaces import SearchSpace, Vector

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PpoSettings:
    """The defaults are NASNet's (section 3.2 and appendix A of arXiv:1707.07012), as far as the paper tells them.

    After every `minibatch` rewards the policy takes `epochs` steps of Adam on them; `clip` bounds how far the
    probability of a decision may move by that (neither is in the paper). An advantage is a reward less the
    `baseline`, an exponential moving average of the rewards before it; with `normalise` it is divided by the
    advantages' moving root mean square. `spread` bounds the uniform weights at the beginning. An architecture that was
    asked for before is drawn again up to `redraws` times.
    """

    units: int = 100
    spread: float = 0.1
    learning_rate: float = 0.00035
    entropy: float = 0.00001
    baseline: float = 0.95
    minibatch: int = 20
    epochs: int = 3
    clip: float = 0.2
    normalise: bool = False
    redraws: int = 0

    def __post_init__(self) -> None:
        for name in ("units", "minibatch", "epochs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; accepted: whole numbers from 1 on")
        for name in ("spread", "learning_rate", "clip"):
            if not 0 < getattr(self, name) < inf:
                raise UsageError(f"{name} is {getattr(self, name)}; accepted: numbers above 0")
        if self.redraws < 0:
            raise UsageError(f"redraws is {self.redraws}; accepted: whole numbers from 0 on")
        if not 0 <= self.entropy < inf:
            raise UsageError(f"entropy is {self.entropy}; accepted: numbers from 0 on")
        if not 0 <= self.baseline < 1:
            raise UsageError(f"baseline is {self.baseline}; accepted: numbers from 0 to below 1")


@dataclass(frozen=True)
class _Sample:
    """An architecture, the log-probabilities of its decisions when it was drawn, and what it was worth."""

    vector: Vector
    log_probabilities: Array
    advantage: float = 0.0


class Ppo:
    """Draws architectures from the policy; learns after every `minibatch` of them."""

    PRESETS: dict[str, dict[str, Any]] = {
        "paper": {},
        "small": {
            "learning_rate": 0.003,
            "entropy": 0.02,
            "baseline": 0.9,
            "minibatch": 10,
            "epochs": 4,
            "normalise": True,
            "redraws": 8,
        },
    }

    def __init__(self, space: SearchSpace, seed: int = 0, **settings: Any) -> None:
        self.settings = PpoSettings(**settings)
        table = DecisionTable.of(space.choices)
        self._generator = np.random.default_rng(seed)
        self.policy = Policy(table, self._generator, units=self.settings.units, spread=self.settings.spread)
        self._optimizer = Adam(self.settings.learning_rate)
        self._asked: deque[_Sample] = deque()
        self._told: list[_Sample] = []
        self._seen: dict[Vector, None] = {}
        self._baseline: float | None = None
        self._square = 0.0
        self._rewards = 0

    @classmethod
    def random_draws(cls, **settings: Any) -> int:
        """How many of the first architectures are drawn almost at random, before anything was learnt."""
        return PpoSettings(**settings).minibatch

    def ask(self) -> Vector:
        vector, log_probabilities = self.policy.sample(self._generator)
        for _ in range(self.settings.redraws):
            if vector not in self._seen:
                break
            vector, log_probabilities = self.policy.sample(self._generator)
        if self.settings.redraws:
            self._seen[vector] = None
        self._asked.append(_Sample(vector, log_probabilities))
        return vector

    def tell(self, vector: Vector, reward: float) -> None:
        sample = self._asked.popleft()
        if sample.vector != tuple(vector):
            raise ValueError(f"told of {vector}, which was not asked for next: {sample.vector} was")
        keep = self.settings.baseline
        before = reward if self._baseline is None else self._baseline
        advantage = reward - before
        self._baseline = keep * before + (1 - keep) * reward
        if self.settings.normalise:
            advantage = self._normalised(advantage)
        self._told.append(replace(sample, advantage=advantage))
        if len(self._told) == self.settings.minibatch:
            self._learn()
            self._told.clear()

    def _normalised(self, advantage: float) -> float:
        keep = self.settings.baseline
        self._rewards += 1
        self._square = keep * self._square + (1 - keep) * advantage**2
        scale = sqrt(self._square / (1 - keep**self._rewards))
        return advantage / scale if scale > 0 else 0.0

    def _learn(self) -> None:
        taken = self.policy.taken([sample.vector for sample in self._told])
        before = np.stack([sample.log_probabilities for sample in self._told])
        advantages = np.array([sample.advantage for sample in self._told])
        for _ in range(self.settings.epochs):
            kept = self.policy.forward(taken)
            _, gradients = loss_and_gradients(kept, before, advantages, self.settings)
            self._optimizer.step(self.policy.parameters, self.policy.backward(kept, gradients))

    def state(self) -> State:
        return {
            "settings": asdict(self.settings),
            "generator": generator_state(self._generator),
            "parameters": {name: array_state(value) for name, value in self.policy.parameters.items()},
            "optimizer": self._optimizer.state(),
            "asked": [_sample_state(sample) for sample in self._asked],
            "told": [_sample_state(sample) for sample in self._told],
            "seen": [list(vector) for vector in self._seen],
            "baseline": self._baseline,
            "square": self._square,
            "rewards": self._rewards,
        }

    @classmethod
    def restore(cls, space: SearchSpace, state: State) -> Self:
        controller = cls(space, **state["settings"])
        controller._generator = restored_generator(state["generator"])
        controller.policy.parameters = {name: restored_array(value) for name, value in state["parameters"].items()}
        controller._optimizer = Adam.restore(controller.settings.learning_rate, state["optimizer"])
        controller._asked = deque(map(_restored_sample, state["asked"]))
        controller._told = [_restored_sample(sample) for sample in state["told"]]
        controller._seen = {tuple(vector): None for vector in state["seen"]}
        controller._baseline = state["baseline"]
        controller._square = state["square"]
        controller._rewards = state["rewards"]
        return controller


def loss_and_gradients(
    kept: Pass, before: Array, advantages: Array, settings: PpoSettings
) -> tuple[float, list[Array]]:
    """The clipped objective less the entropy bonus, summed over decisions, averaged over the batch of B; and its
    gradients with respect to the logits of each decision.

    `before` are log-probabilities [B, T] when the architectures were drawn, `advantages` [B].
    """
    taken: Taken = kept.taken
    batch = len(advantages)
    everyone = np.arange(batch)
    loss = 0.0
    gradients = []
    for step, log_softmax in enumerate(kept.log_softmax):
        exists = taken.exist[:, step]
        chosen = taken.options[:, step]
        probabilities = np.exp(log_softmax)
        ratio = np.exp(np.where(exists, log_softmax[everyone, chosen] - before[:, step], 0.0))
        clipped = np.clip(ratio, 1 - settings.clip, 1 + settings.clip)
        gain = np.minimum(ratio * advantages, clipped * advantages)
        entropy = -(probabilities * log_softmax).sum(axis=1)
        loss -= float(((gain + settings.entropy * entropy) * exists).sum()) / batch
        # Where the clipped term is the smaller one, it does not depend on the policy.
        slope = np.where(ratio * advantages <= clipped * advantages, ratio * advantages, 0.0)
        d_gain = -slope[:, None] * probabilities
        d_gain[everyone, chosen] += slope
        d_entropy = -probabilities * (log_softmax + entropy[:, None])
        gradients.append(-(d_gain + settings.entropy * d_entropy) * exists[:, None] / batch)
    return loss, gradients


def _sample_state(sample: _Sample) -> dict[str, Any]:
    return {
        "vector": list(sample.vector),
        "log_probabilities": array_state(sample.log_probabilities),
        "advantage": sample.advantage,
    }


def _restored_sample(state: dict[str, Any]) -> _Sample:
    return _Sample(tuple(state["vector"]), restored_array(state["log_probabilities"]), state["advantage"])
