"""The policy of NASNet's controller: one LSTM layer, one softmax for each decision, the option taken fed back in.

In NumPy: steps are so small that calling a framework would take longer than they do, and a search that only steers
others needs no torch. Products are kept so small (one of `units` x `units` for each gate) that no BLAS shares them out
among threads: on a machine that trains children at the same time, waiting for those costs more than ten times the sum.

Decisions whose condition does not hold are passed over: they change neither the state nor the probability of an
architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nascompiler.search.controllers.decisions import DecisionTable
from nascompiler.spaces import Vector

Array = NDArray[np.float64]
Parameters = dict[str, Array]


@dataclass(frozen=True)
class Taken:
    """Decisions of a batch of B architectures, T each in the table's order: options [B, T], and which exist [B, T]."""

    options: NDArray[np.int64]
    exist: NDArray[np.bool_]


@dataclass(frozen=True)
class Pass:
    """What a forward pass keeps for the backward one, a list entry for each decision.

    `rows` [B, T] are those of the embedding that were fed in; `gates` are [4, B, units], the rest [B, units], and
    `log_softmax` [B, options].
    """

    taken: Taken
    rows: NDArray[np.int64]
    gates: list[Array]
    cells: list[Array]
    cell_activations: list[Array]
    hidden: list[Array]
    log_softmax: list[Array]


class Policy:
    """`units` wide, weights uniform in ±`spread` (NASNet: 100 units, ±0.1)."""

    def __init__(self, table: DecisionTable, generator: np.random.Generator, *, units: int, spread: float) -> None:
        self.table, self.units = table, units
        sizes = [table.sizes[position] for position in table.order]
        self.offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        options = int(self.offsets[-1])
        shapes = {
            "embedding": (options + 1, units),  # the last row stands before the first decision
            "input_weights": (4, units, units),  # input gate, forget gate, candidate, output gate
            "state_weights": (4, units, units),
            "bias": (4, 1, units),
            "head_weights": (units, options),
            "head_bias": (options,),
        }
        self.parameters: Parameters = {
            name: generator.uniform(-spread, spread, size=shape) for name, shape in shapes.items()
        }

    @property
    def start(self) -> int:
        return int(self.offsets[-1])

    def sample(self, generator: np.random.Generator) -> tuple[Vector, Array]:
        """An architecture, and the log-probability of each decision [T], 0 where one does not exist."""
        p, units = self.parameters, self.units
        hidden, cell = np.zeros(units), np.zeros(units)
        row = self.start
        options: dict[int, int] = {}
        log_probabilities = np.zeros(len(self.table.order))
        for step, position in enumerate(self.table.order):
            if not self.table.exists(position, options):
                continue
            driven = np.einsum("i,gij->gj", p["embedding"][row], p["input_weights"])
            recalled = np.einsum("i,gij->gj", hidden, p["state_weights"])
            admitted, forgotten, fresh, shown = _gates(driven + recalled + p["bias"][:, 0])
            cell = forgotten * cell + admitted * fresh
            hidden = shown * np.tanh(cell)
            begin, end = self.offsets[step], self.offsets[step + 1]
            log_softmax = _log_softmax(hidden @ p["head_weights"][:, begin:end] + p["head_bias"][begin:end])
            edges = np.cumsum(np.exp(log_softmax))
            option = int(min(np.searchsorted(edges, generator.random() * edges[-1], side="right"), len(edges) - 1))
            options[position] = option
            log_probabilities[step] = log_softmax[option]
            row = int(begin) + option
        return self.table.vector(options), log_probabilities

    def taken(self, vectors: Sequence[Vector]) -> Taken:
        options = np.zeros((len(vectors), len(self.table.order)), np.int64)
        exist = np.zeros(options.shape, np.bool_)
        for index, vector in enumerate(vectors):
            existing = self.table.existing(vector)
            for step, position in enumerate(self.table.order):
                if position in existing:
                    options[index, step], exist[index, step] = existing[position], True
        return Taken(options, exist)

    def forward(self, taken: Taken) -> Pass:
        """The log-softmax of every decision, given the options taken before it."""
        p, units = self.parameters, self.units
        batch, steps = taken.options.shape
        rows = np.empty((batch, steps), np.int64)
        row = np.full(batch, self.start)
        for step in range(steps):
            rows[:, step] = row
            row = np.where(taken.exist[:, step], self.offsets[step] + taken.options[:, step], row)
        hidden, cell = np.zeros((batch, units)), np.zeros((batch, units))
        kept = Pass(taken, rows, [], [cell], [], [hidden], [])
        for step in range(steps):
            driven = p["embedding"][rows[:, step]] @ p["input_weights"]
            gates = _gates(driven + hidden @ p["state_weights"] + p["bias"])
            admitted, forgotten, fresh, shown = gates
            exists = taken.exist[:, step, None]
            new_cell = forgotten * cell + admitted * fresh
            activation = np.tanh(new_cell)
            cell, hidden = np.where(exists, new_cell, cell), np.where(exists, shown * activation, hidden)
            begin, end = self.offsets[step], self.offsets[step + 1]
            kept.log_softmax.append(_log_softmax(hidden @ p["head_weights"][:, begin:end] + p["head_bias"][begin:end]))
            kept.gates.append(gates)
            kept.cells.append(cell)
            kept.cell_activations.append(activation)
            kept.hidden.append(hidden)
        return kept

    def backward(self, kept: Pass, logit_gradients: Sequence[Array]) -> Parameters:
        """Gradients of the parameters from those of the logits, one array [B, options] for each decision."""
        p, units = self.parameters, self.units
        batch, steps = kept.rows.shape
        gradients = {name: np.zeros_like(value) for name, value in p.items()}
        d_hidden, d_cell = np.zeros((batch, units)), np.zeros((batch, units))
        for step in range(steps - 1, -1, -1):
            begin, end = self.offsets[step], self.offsets[step + 1]
            d_logits = logit_gradients[step]
            gradients["head_weights"][:, begin:end] = kept.hidden[step + 1].T @ d_logits
            gradients["head_bias"][begin:end] = d_logits.sum(axis=0)
            d_hidden = d_hidden + d_logits @ p["head_weights"][:, begin:end].T
            exists = kept.taken.exist[:, step, None]
            admitted, forgotten, fresh, shown = kept.gates[step]
            activation = kept.cell_activations[step]
            d_new_cell = d_cell + d_hidden * shown * (1 - activation**2)
            d_sums = np.stack(
                [
                    d_new_cell * fresh * admitted * (1 - admitted),
                    d_new_cell * kept.cells[step] * forgotten * (1 - forgotten),
                    d_new_cell * admitted * (1 - fresh**2),
                    d_hidden * activation * shown * (1 - shown),
                ]
            )
            d_sums = np.where(exists, d_sums, 0.0)
            inputs = p["embedding"][kept.rows[:, step]]
            gradients["bias"] += d_sums.sum(axis=1, keepdims=True)
            gradients["input_weights"] += inputs.T @ d_sums
            gradients["state_weights"] += kept.hidden[step].T @ d_sums
            d_inputs = (d_sums @ p["input_weights"].swapaxes(1, 2)).sum(axis=0)
            np.add.at(gradients["embedding"], kept.rows[:, step], d_inputs)
            d_before = (d_sums @ p["state_weights"].swapaxes(1, 2)).sum(axis=0)
            d_hidden = np.where(exists, d_before, d_hidden)
            d_cell = np.where(exists, d_new_cell * forgotten, d_cell)
        return gradients


def _gates(sums: Array) -> Array:
    """Logistic function of the sums [4, ...], but tanh of the third, the candidate."""
    half = np.array([0.5, 0.5, 1.0, 0.5]).reshape(4, *[1] * (sums.ndim - 1))  # logistic(x) = (1 + tanh(x / 2)) / 2
    gates: Array = half * np.tanh(half * sums) + (1 - half)
    return gates


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found
