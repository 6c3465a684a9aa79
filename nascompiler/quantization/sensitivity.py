"""Which layers lose the accuracy: the signal-to-noise ratio of each, alone and in the quantised network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from nascompiler.ir import Array, Node, Trait, UsageError, Value
from nascompiler.ir.evaluate import evaluate_node
from nascompiler.ir.labels import node_labels
from nascompiler.passes.quantization.forms import Form, form_of
from nascompiler.passes.quantization.plan import absorbed_end
from nascompiler.passes.quantization.quantizer import Quantized
from nascompiler.quantization.noise import Noise, OutputNoise
from nascompiler.quantization.reevaluation import Reevaluation, Values

DEFAULT_SAMPLES = 4

_SATURATING = ("nn.softmax", "nn.log_softmax", "nn.sigmoid", "nn.hard_sigmoid")


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantising one layer does. Decibels are higher for less noise, inf where nothing changes.

    `isolated` is the ratio at the network's output (the worst one of several; before a softmax or sigmoid that ends the
    network, since a saturated one hides everything) when only this layer has integers, and its operands, weights and
    result are rounded; `cumulative` that of the layer's own result when all is quantised.
    `weight_share` is the part of the noise of the layer alone, at its own result, that its weights make, 0 to 1: the
    rest comes from rounding activations, which 16 bits cure.
    """

    layer: str
    op: str
    isolated: float
    cumulative: float
    weight_share: float


def sensitivity(
    quantized: Quantized,
    batches: Iterable[Mapping[str, Array]],
    *,
    samples: int = DEFAULT_SAMPLES,
    progress: Callable[[int], None] | None = None,
) -> list[LayerSensitivity]:
    """The layers that compute with integers, those that hurt most first, measured on the first `samples` batches.

    For each layer, only what follows it is evaluated again; a batch keeps all values of the float network in memory.
    Nodes that just move or select integers add no noise and are no layers here. `progress` is called after each layer
    of a batch with the number done so far, of `len(layers_of(quantized)) * samples`.

    Raises UsageError when there is no batch.
    """
    layers = layers_of(quantized)
    network = _Network(quantized)
    rows = {node: _Row() for node in layers}
    done = 0
    for batch in islice(batches, samples):
        exact = network.float_graph.values(batch)
        expected = network.float_graph.outputs(exact)
        network.add_cumulative(batch, exact, rows)
        for node, row in rows.items():
            end = network.end(node)
            weights_only, rounded = network.alone(node, exact)
            row.weights.add(exact[end], weights_only)
            row.local.add(exact[end], rounded)
            row.isolated.add(expected, network.float_graph.outputs_with(exact, {end: rounded}))
            done += 1
            if progress is not None:
                progress(done)
    if layers and not done:
        raise UsageError("no data to find sensitive layers with: at least one sample is needed")
    labels = node_labels(quantized.prepared)
    found = [
        LayerSensitivity(
            labels[node],
            node.op.name,
            row.isolated.decibels,
            row.cumulative.decibels,
            min(row.weights.noise / row.local.noise, 1.0) if row.local.noise > 0 else 0.0,
        )
        for node, row in rows.items()
    ]
    return sorted(found, key=lambda row: row.isolated)


def layers_of(quantized: Quantized) -> list[Node]:
    """The nodes of the prepared graph that compute with integers, in topological order."""
    plan = quantized.plan
    return [n for n in quantized.prepared.nodes if n in plan.integer and form_of(n) is not Form.PASSIVE]


@dataclass
class _Row:
    isolated: OutputNoise = field(default_factory=OutputNoise)
    cumulative: Noise = field(default_factory=Noise)
    weights: Noise = field(default_factory=Noise)
    local: Noise = field(default_factory=Noise)


class _Network:
    """The float network beside the fake-quantised one, whose nodes of dialect nn are the same ones in order."""

    def __init__(self, quantized: Quantized) -> None:
        self.plan = quantized.plan
        named = zip(quantized.prepared.output_names, quantized.prepared.outputs, strict=True)
        self.float_graph = Reevaluation(quantized.prepared, {name: _unsaturated(value) for name, value in named})
        self.fake_graph = Reevaluation(quantized.fake)
        own = [n for n in quantized.fake.nodes if n.op.dialect != "qnn"]
        self.twins = dict(zip(quantized.prepared.nodes, own, strict=True))
        self._values = dict(zip(quantized.prepared.inputs, quantized.fake.inputs, strict=True))
        for node, twin in self.twins.items():
            self._values.update(zip(node.results, twin.results, strict=True))
        self._origins = {twin: value for value, twin in self._values.items()}

    def end(self, node: Node) -> Value:
        """The result of a layer, behind the activation that it applies before it rounds."""
        return absorbed_end(node.results[0], self.plan.absorbed)

    def add_cumulative(self, batch: Mapping[str, Array], exact: Values, rows: Mapping[Node, _Row]) -> None:
        ends = {_restored(self._values[self.end(node)]): node for node in rows}

        def look(value: Value, array: Array) -> None:
            if value in ends:
                node = ends[value]
                rows[node].cumulative.add(exact[self.end(node)], array)

        self.fake_graph.observe(batch, look)

    def alone(self, node: Node, exact: Values) -> tuple[Array, Array]:
        """The layer's result for float operands: with only its weights quantised, and with everything.

        The weights and biases are those of the fake-quantised graph, which has repaired them.
        """
        twin, activation = self.twins[node], self.end(node).producer
        results = []
        for rounded in (False, True):
            (array,) = evaluate_node(twin, [self._operand(v, exact, rounded=rounded) for v in twin.operands])
            if activation is not None and activation is not node:
                (array,) = evaluate_node(self.twins[activation], [array])
            results.append(array)
        return results[0], self._rounded(self._values[self.end(node)], results[1])

    def _operand(self, twin: Value, exact: Values, *, rounded: bool) -> Array:
        """An operand in the fake-quantised graph: a constant, or a float activation, `rounded` or not."""
        chain: list[Node] = []
        at = twin
        while at.producer is not None and at.producer.op.dialect == "qnn":
            chain.append(at.producer)
            at = at.producer.operands[0]
        if at.is_constant:
            return self.fake_graph.array(twin, {})
        array = self.float_graph.array(self._origins[at], exact)
        for step in reversed(chain) if rounded else ():
            (array,) = evaluate_node(step, [array])
        return array

    def _rounded(self, twin: Value, array: Array) -> Array:
        """A result as its users in the fake-quantised graph take it."""
        restored = _restored(twin)
        if restored is twin or restored.producer is None:
            return array
        quantize = restored.producer.operands[0].producer
        assert quantize is not None
        (integers,) = evaluate_node(quantize, [array])
        return evaluate_node(restored.producer, [integers])[0]


def _unsaturated(output: Value) -> Value:
    """What a final softmax or sigmoid takes, however its result is moved; any other output as it is."""
    value = output
    while value.producer is not None and value.producer.op.has(Trait.STRUCTURAL) and len(value.producer.operands) == 1:
        value = value.producer.operands[0]
    if value.producer is not None and value.producer.op.name in _SATURATING:
        return value.producer.operands[0]
    return output


def _restored(value: Value) -> Value:
    """What users take of a value: its dequantised integers where it is quantised."""
    for user in value.users:
        if user.op.name == "qnn.quantize":
            return next(u for u in user.result.users if u.op.name == "qnn.dequantize").result
    return value
