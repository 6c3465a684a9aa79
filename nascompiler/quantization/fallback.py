"""Layers that hurt leave the 8-bit integers, worst first, until the network is good enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nascompiler.ir import Graph, verify
from nascompiler.ir.cost import node_cost
from nascompiler.ir.labels import node_labels
from nascompiler.passes.quantization.quantizer import Quantized, Settings, replan
from nascompiler.quantization.score import Score
from nascompiler.quantization.sensitivity import LayerSensitivity

LARGEST_FLOAT_SHARE = 0.5
"""Layers with more than this share of the multiply-adds do not go to float: the result would hardly be a quantised
network, and the gate is reported as missed instead."""

FEWEST_TO_COMPARE = 4
"""So many of the worst layers are tried in 16 bits and in float, to see which helps."""

WEIGHTS_DOMINATE = 0.5
"""Above this share of a layer's own noise, it comes from weights, which 16-bit activations do not cure."""


@dataclass(frozen=True)
class Attempt:
    """What was tried: layers in float, layers with 16-bit activations, and the drop in points that was measured."""

    keep_float: tuple[str, ...]
    wide: tuple[str, ...]
    drop: float


@dataclass(frozen=True)
class Fallback:
    """The network that holds the gate, or the best effort; `score` is that of its graph as it is."""

    quantized: Quantized
    score: Score
    attempts: tuple[Attempt, ...]

    def met(self, max_drop: float) -> bool:
        return self.score.drop <= max_drop


def fall_back(
    quantized: Quantized,
    score: Score,
    layers: Sequence[LayerSensitivity],
    max_drop: float,
    score_of: Callable[[Graph], Score],
) -> Fallback:
    """Take layers out of the 8-bit integers, in the order given, until the drop is at most `max_drop` points.

    `score` is that of `quantized`; `score_of` measures a graph. Of the worst layers, those whose noise comes from
    rounding activations get 16-bit activations and the others stay in float; if float alone turns out to help more,
    all stay in float. How many are needed is found by doubling and then halving the number: about 2 log2(layers)
    measurements. Every graph is verified before it is measured. What the settings ask for already stays so.
    """
    search = _Search(quantized, score, max_drop, score_of)
    if score.drop <= max_drop or not layers:
        return search.result
    floats = _within_share(quantized, [row.layer for row in layers])
    mixed = [(row.layer, row.weight_share <= WEIGHTS_DOMINATE or row.layer not in floats) for row in layers]
    plain = [(layer, False) for layer in floats]
    first = min(FEWEST_TO_COMPARE, len(layers))
    ways = [mixed, plain]
    if any(wide for _, wide in mixed[:first]) and plain:
        drops = [search.attempt(way[:first]).drop for way in ways]
        if drops[1] < drops[0]:
            ways.reverse()
    for way in ways:
        if search.find(way):
            break
    return search.result


class _Search:
    def __init__(self, quantized: Quantized, score: Score, max_drop: float, score_of: Callable[[Graph], Score]) -> None:
        self.base, self.max_drop, self.score_of = quantized, max_drop, score_of
        self.best = (quantized, score)
        self.known: dict[tuple[tuple[str, ...], tuple[str, ...]], Score] = {}
        self.attempts: list[Attempt] = []
        self._best_changed = 0

    @property
    def result(self) -> Fallback:
        return Fallback(*self.best, tuple(self.attempts))

    def find(self, way: Sequence[tuple[str, bool]]) -> bool:
        """The fewest of the layers, from the first on, that meet the gate: doubling, then halving. Whether any do."""
        failed, number = 0, 1
        while number <= len(way) and not self.meets(way[:number]):
            failed = number
            if number == len(way):
                return False
            number = min(2 * number, len(way))
        if not way:
            return False
        while number - failed > 1:
            middle = (failed + number) // 2
            if self.meets(way[:middle]):
                number = middle
            else:
                failed = middle
        return True

    def meets(self, chosen: Sequence[tuple[str, bool]]) -> bool:
        return self.attempt(chosen).drop <= self.max_drop

    def attempt(self, chosen: Sequence[tuple[str, bool]]) -> Score:
        """The score with the chosen layers, (label, whether 16 bits and not float), out of the 8-bit integers."""
        settings = _with(self.base.settings, chosen)
        key = (settings.keep_float, settings.wide)
        if key not in self.known:
            made = replan(self.base, settings)
            verify(made.graph)
            score = self.known[key] = self.score_of(made.graph)
            self.attempts.append(Attempt(*key, score.drop))
            self._keep(made, score, len(chosen))
        return self.known[key]

    def _keep(self, made: Quantized, score: Score, changed: int) -> None:
        """The network with the fewest layers changed that meets the gate, else the one with the least drop."""
        drop, best_drop = score.drop, self.best[1].drop
        if best_drop <= self.max_drop:
            better = drop <= self.max_drop and changed < self._best_changed
        else:
            better = drop < best_drop
        if better:
            self.best, self._best_changed = (made, score), changed


def _with(settings: Settings, chosen: Sequence[tuple[str, bool]]) -> Settings:
    floats = [layer for layer, wide in chosen if not wide]
    wide = [layer for layer, wide in chosen if wide]
    return replace(
        settings,
        keep_float=tuple(dict.fromkeys((*settings.keep_float, *floats))),
        wide=tuple(dict.fromkeys((*settings.wide, *wide))),
    )


def _within_share(quantized: Quantized, layers: Sequence[str]) -> list[str]:
    """Of the layers, in order, those that may all go to float: together at most half of the integer multiply-adds."""
    nodes = {label: node for node, label in node_labels(quantized.prepared).items()}
    macs = {label: node_cost(node).macs or 0 for label, node in nodes.items()}
    left = LARGEST_FLOAT_SHARE * sum(macs[label] for label, node in nodes.items() if node in quantized.plan.integer)
    chosen = []
    for layer in layers:
        if macs[layer] <= left:
            chosen.append(layer)
            left -= macs[layer]
    return chosen
