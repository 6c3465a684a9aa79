"""Moving statistics of batch norms, measured on synthetic images when somebody first asks for them.

Ioffe and Szegedy (arXiv:1502.03167, section 3.1) take mean and variance of what each batch norm normalises. One sweep
over the expanded graph does so for all, in topological order, each with the statistics before it in place already.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, Constant, Graph, ModelError, Node, TensorType, Value
from nascompiler.ir.evaluate import evaluate_op

IMAGES = 4
"""How many synthetic images are measured."""

LARGEST_SIDE = 176
"""Larger images are measured at up to this many pixels a side, where the network bears it."""

STEP = 32
"""What sides are reduced by is a multiple of this: sizes stay even or odd through five halvings."""

SIGNIFICANT_BITS = 12
"""Statistics are rounded to so many bits: the last ones differ from machine to machine, these do not."""

MANY_PIXELS = 400 * 400
"""Of images larger than this, which a network bears only at their own size, one is measured."""

FEW = 64
"""Of fewer values in a channel, the variance says little; see `_least_share`."""

MEASURED = {"nn.batch_norm": 3, "nn.linear": 2}
"""The ops that are settled, and the first operand that comes from data: the mean, the bias."""

Floats = NDArray[np.float64]
Settled = NDArray[np.float32]


@dataclass
class MovingStatistics:
    """Mean and variance by the name of the batch norm, all settled by one sweep at the first question."""

    seed: int
    source: Graph | None = None
    _names: dict[int, tuple[str, Constant]] = field(default_factory=dict)
    _known: dict[str, tuple[Settled, Settled]] = field(default_factory=dict)

    def register(self, name: str, constant: Constant) -> None:
        """Announce the constant by which the node `name` is found: a batch norm's mean, a linear layer's bias."""
        self._names[id(constant)] = name, constant

    def of(self, name: str) -> tuple[Settled, Settled]:
        """Mean and variance, [C] each, of what the batch norm `name` takes or the linear layer `name` gives."""
        if name not in self._known:
            if self.source is None:
                raise ModelError(f"the statistics of {name} are not known before the whole graph is expanded")
            self._sweep(self.source)
            self.source = None
        return self._known[name]

    def _sweep(self, graph: Graph) -> None:
        try:
            self._measure(graph, reduced=True)
        except ModelError:  # a network that bears only its own resolution
            self._measure(graph, reduced=False)

    def _measure(self, graph: Graph, *, reduced: bool) -> None:
        generator = np.random.default_rng(self.seed)
        values = {v: synthetic_input(v.type, generator, reduced=reduced) for v in graph.inputs}
        nodes = self._needed(graph)
        remaining: dict[Value, int] = {}
        for node in nodes:
            for value in node.operands:
                remaining[value] = remaining.get(value, 0) + 1
        for node in nodes:
            operands = [_wide(v.constant.array) if v.constant else values[v] for v in self._data(node)]
            if (name := self._name(node)) is not None:
                operands += self._settled(name, node, operands)
            try:
                with np.errstate(all="ignore"):
                    results = evaluate_op(node.op, operands, node.attributes)
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise ModelError(f"{node!r}: {error}") from error
            values.update(zip(node.results, results, strict=True))
            for value in node.operands:
                remaining[value] -= 1
                if remaining[value] == 0:
                    values.pop(value, None)

    def _name(self, node: Node) -> str | None:
        """The name of a batch norm or linear layer of ours."""
        first = MEASURED.get(node.op.name)
        if first is None or first >= len(node.operands):
            return None
        return self._names.get(id(node.operands[first].constant), (None,))[0]

    def _data(self, node: Node) -> tuple[Value, ...]:
        """The operands whose values are known before the sweep reaches the node."""
        return node.operands if self._name(node) is None else node.operands[: MEASURED[node.op.name]]

    def _settled(self, name: str, node: Node, operands: list[Array]) -> list[Array]:
        """The operands that were missing."""
        x = operands[0] if node.op.name == "nn.batch_norm" else np.matmul(operands[0], operands[1])
        if x.size == 0:
            raise ModelError(f"{node!r} sees no values")
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
        least = _least_share(x.size // x.shape[-1])
        variance = np.maximum(variance, least * variance.mean() + 1e-6)  # a channel that hardly moves is not blown up
        known = _rounded(mean, np.sqrt(variance)), _rounded(variance, variance)
        self._known[name] = known
        return [_wide(a) for a in known] if node.op.name == "nn.batch_norm" else [_wide(-known[0])]

    def _needed(self, graph: Graph) -> list[Node]:
        """The nodes that a batch norm of ours depends on, in order."""
        nodes = list(graph.nodes)
        needed: set[Node] = set()
        for node in reversed(nodes):
            if self._name(node) is not None or not needed.isdisjoint(u for v in node.results for u in v.users):
                needed.add(node)
        return [node for node in nodes if node in needed]


def _least_share(values: int) -> float:
    """The part of the mean variance that every channel has at least, when `values` of each are seen.

    The last maps of detectors are one pixel: what four images happen to have in common there is no constant.
    """
    return 1e-2 if values >= FEW else min(1.0, 8 / values)


def synthetic_input(type: TensorType, generator: np.random.Generator, *, reduced: bool = False) -> Array:
    """Values for an input: images [N, H, W, C] with the 1/f spectrum of natural ones, else normal numbers.

    `reduced` images are at most LARGEST_SIDE pixels high and wide.
    """
    shape = tuple(d if isinstance(d, int) else 1 for d in type.shape or ())
    if len(shape) != 4:
        return generator.standard_normal(shape)
    height, width = (_reduced(d) if reduced else d for d in shape[1:3])
    count = IMAGES if reduced or height * width <= MANY_PIXELS else 1
    return natural_images((count, height, width, shape[3]), generator)


def _reduced(side: int) -> int:
    return side - max(0, -(-(side - LARGEST_SIDE) // STEP)) * STEP


def natural_images(shape: tuple[int, int, int, int], generator: np.random.Generator) -> Floats:
    """Images [N, H, W, C] of mean 0 and deviation about 1 whose amplitudes fall as 1/f, colours partly correlated."""
    count, height, width, channels = shape
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    noise = generator.standard_normal((count, height, width, channels))
    noise = 0.6 * noise.mean(axis=3, keepdims=True) * np.sqrt(channels) + 0.8 * noise
    spectrum = np.fft.rfft2(noise, axes=(1, 2)) * falling[None, :, :, None]
    images = np.fft.irfft2(spectrum, s=(height, width), axes=(1, 2))
    contrast = generator.uniform(0.6, 1.4, (count, 1, 1, 1))
    scaled: Floats = images / images.std() * contrast
    return scaled


def _wide(array: Array) -> Array:
    """Floats in double precision: what is measured then hardly depends on the machine."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _rounded(values: Floats, scale: Floats) -> Settled:
    """`values` as float32, rounded to SIGNIFICANT_BITS of `scale`."""
    step = np.exp2(np.floor(np.log2(scale)) - SIGNIFICANT_BITS)
    rounded: Settled = (np.round(values / step) * step).astype(np.float32)
    return rounded
