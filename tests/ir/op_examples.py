"""Examples of every op, small and deterministic; the differential tests of passes and backends replay them too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from nascompiler.ir.builder import Builder
from nascompiler.ir.dialects.nn.fused import FUSIBLE_ACTIVATIONS
from nascompiler.ir.evaluate import evaluate_op
from nascompiler.ir.graph import Graph
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import Array, DType

_SEEDS = count()


@dataclass(frozen=True)
class OpExample:
    """One application of an op: operand arrays (None: absent) and the attributes that are not at their defaults."""

    op: str
    operands: tuple[Array | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, a.shape)) + f":{DType.of(a.dtype)}" for a in self.operands if a is not None)
        attributes = "".join(f",{name}={value}" for name, value in self.attributes.items())
        return f"{self.op}({shapes}{attributes})".replace(" ", "")

    def results(self) -> tuple[Array, ...]:
        """What the reference evaluation makes of it."""
        op = OPS[self.op]
        arrays = [a for a in self.operands if a is not None]
        return evaluate_op(op, arrays, op.complete_attributes(self.attributes))

    def graph(self, *, constant_parameters: bool = True) -> Graph:
        """A graph of this one node: inputs x0, x1, ..., outputs y0, y1, ...

        Operands after the first are constants where a network has them as constants: weights, statistics, and the
        sizes of dynamic ops; with `constant_parameters` false every operand is an input.
        """
        builder = Builder(self.op.replace(".", "_"))
        op = OPS[self.op]
        values = []
        for index, array in enumerate(self.operands):
            declared = op.operand_at(index)
            assert declared is not None
            if array is None:
                values.append(None)
            elif constant_parameters and index > 0 and (declared.parameter or op.static_form is not None):
                values.append(builder.constant(array, declared.name))
            else:
                values.append(builder.input(f"x{index}", array.shape, DType.of(array.dtype)))
        made = builder.op(self.op, *values, **self.attributes)
        results = made if isinstance(made, tuple) else (made,)
        return builder.outputs(**{f"y{i}": value for i, value in enumerate(results)})

    def inputs(self, graph: Graph) -> dict[str, Array]:
        """The arrays for the inputs of `graph`, which is this example's."""
        arrays = {f"x{i}": a for i, a in enumerate(self.operands) if a is not None}
        return {value.name: arrays[value.name] for value in graph.inputs}


def normal(*shape: int, scale: float = 1.0, dtype: Any = np.float32) -> Array:
    """Normally distributed numbers, other ones at each call but the same in each run."""
    return (np.random.default_rng([7, next(_SEEDS)]).standard_normal(shape) * scale).astype(dtype)


def positive(*shape: int) -> Array:
    return np.random.default_rng([8, next(_SEEDS)]).uniform(0.2, 2.0, shape).astype(np.float32)


def whole(*shape: int, low: int = -9, high: int = 10, dtype: Any = np.int32) -> Array:
    return np.random.default_rng([9, next(_SEEDS)]).integers(low, high, shape).astype(dtype)


def truth(*shape: int) -> Array:
    return np.random.default_rng([10, next(_SEEDS)]).random(shape) < 0.5


def i64(*values: int) -> Array:
    return np.asarray(values, np.int64)


def scalar(value: float, dtype: Any) -> Array:
    return np.asarray(value, dtype)


def _elementwise() -> Iterator[OpExample]:
    for name in ("add", "sub", "mul", "div", "minimum", "maximum"):
        yield OpExample(f"nn.{name}", (normal(2, 5, 3, 7), normal(2, 5, 3, 7)))
        yield OpExample(f"nn.{name}", (normal(1, 4, 3, 5), normal(5)))
        yield OpExample(f"nn.{name}", (normal(2, 1, 3), scalar(0.75, np.float32)))
        yield OpExample(f"nn.{name}", (whole(3, 4), whole(4, low=1)))
        yield OpExample(f"nn.{name}", (whole(6, dtype=np.int64), whole(1, low=-4, high=-1, dtype=np.int64)))
    yield OpExample("nn.pow", (positive(3, 5), normal(5)))
    yield OpExample("nn.pow", (normal(2, 3), scalar(2, np.float32)))
    yield OpExample("nn.pow", (whole(3, 4), whole(4, low=0, high=4)))
    yield OpExample("nn.mod", (whole(3, 5), whole(5, low=1)))
    yield OpExample("nn.mod", (normal(3, 5), positive(5)), {"fmod": True})
    for name in ("neg", "abs", "sign"):
        yield OpExample(f"nn.{name}", (normal(2, 3, 5),))
        yield OpExample(f"nn.{name}", (whole(4),))
    for name in ("exp", "floor", "ceil", "round", "erf"):
        yield OpExample(f"nn.{name}", (normal(2, 3, 5, scale=2),))
    yield OpExample("nn.round", (np.asarray([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32),))
    for name in ("sqrt", "log", "reciprocal"):
        yield OpExample(f"nn.{name}", (positive(2, 3, 5),))
    yield OpExample("nn.prelu", (normal(2, 3, 4, 5), normal(5)))
    yield OpExample("nn.prelu", (normal(2, 3, 4, 5), scalar(0.1, np.float32)))
    yield OpExample("nn.cast", (normal(3, 5, scale=4),), {"to": DType.I32})
    yield OpExample("nn.cast", (whole(3, 5),), {"to": DType.F32})
    yield OpExample("nn.cast", (truth(4),), {"to": DType.F32})
    yield OpExample("nn.cast", (whole(9, low=-1, high=2),), {"to": DType.BOOL})
    yield OpExample("nn.cast", (normal(7),), {"to": DType.F16})
    yield OpExample("nn.identity", (normal(2, 3),))
    yield OpExample("nn.dropout", (normal(2, 3),), {"rate": 0.2})
    yield OpExample("nn.drop_path", (normal(2, 3),), {"keep_probability": 0.7})


def _logic() -> Iterator[OpExample]:
    for name in ("equal", "less", "greater", "less_equal", "greater_equal"):
        yield OpExample(f"nn.{name}", (whole(3, 5, low=0, high=3), whole(5, low=0, high=3)))
        yield OpExample(f"nn.{name}", (normal(2, 5), normal(2, 1)))
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield OpExample(f"nn.{name}", (truth(3, 5), truth(5)))
    yield OpExample("nn.logical_not", (truth(3, 5),))
    yield OpExample("nn.where", (truth(3, 1), normal(3, 5), normal(5)))
    yield OpExample("nn.where", (truth(4), whole(4, dtype=np.int64), scalar(7, np.int64)))


def _activations() -> Iterator[OpExample]:
    for name in (
        "relu", "relu6", "sigmoid", "tanh", "softplus", "hard_sigmoid", "hard_swish", "swish", "elu", "leaky_relu"
    ):  # fmt: skip
        yield OpExample(f"nn.{name}", (normal(2, 5, 3, 7, scale=4),))
        yield OpExample(f"nn.{name}", (normal(11, scale=4),))
    yield OpExample("nn.relu", (whole(3, 4),))
    yield OpExample("nn.hard_sigmoid", (normal(3, 9, scale=3),), {"alpha": 0.2, "beta": 0.5})
    yield OpExample("nn.elu", (normal(3, 5),), {"alpha": 0.5})
    yield OpExample("nn.leaky_relu", (normal(3, 5),), {"alpha": 0.3})
    yield OpExample("nn.clip", (normal(3, 5, scale=3),), {"min": -1.0, "max": 1.5})
    yield OpExample("nn.clip", (normal(3, 5),), {"min": 0.0})
    yield OpExample("nn.clip", (whole(3, 5),), {"min": -3.0, "max": 4.0})


def _convolution() -> Iterator[OpExample]:
    def conv(op: str, x: tuple[int, ...], weight: tuple[int, ...], bias: int = 0, **attributes: Any) -> OpExample:
        fan_in = float(np.prod(weight[:3])) ** -0.5
        operands = (normal(*x), normal(*weight, scale=fan_in), normal(bias) if bias else None)
        return OpExample(f"nn.{op}", operands, attributes)

    yield conv("conv2d", (1, 8, 8, 3), (3, 3, 3, 16), 16, strides=(2, 2), padding=(1, 1, 1, 1))
    yield conv("conv2d", (2, 7, 9, 5), (3, 3, 5, 7), padding=(1, 1, 1, 1))
    yield conv("conv2d", (1, 6, 5, 16), (1, 1, 16, 24), 24)
    yield conv("conv2d", (1, 7, 7, 13), (1, 1, 13, 11), 11, strides=(2, 2))
    yield conv("conv2d", (1, 9, 10, 4), (3, 2, 4, 6), 6, strides=(2, 1), padding=(0, 1, 2, 0), dilation=(2, 3))
    yield conv("conv2d", (1, 6, 6, 8), (3, 3, 2, 12), 12, padding=(1, 1, 1, 1), groups=4)
    yield conv("conv2d", (1, 9, 8, 16), (3, 3, 1, 16), 16, padding=(1, 1, 1, 1), groups=16)
    yield conv("conv2d", (2, 8, 9, 7), (5, 5, 1, 7), 7, strides=(2, 2), padding=(1, 2, 2, 1), groups=7)
    yield conv("conv2d", (1, 6, 6, 5), (3, 3, 1, 10), padding=(1, 1, 1, 1), groups=5)
    yield conv("conv2d", (1, 1, 1, 6), (1, 1, 6, 3), 3)
    yield conv("conv2d", (1, 4, 4, 3), (4, 4, 3, 5), 5)
    yield conv("conv2d_transpose", (1, 4, 5, 6), (2, 2, 6, 4), 4, strides=(2, 2))
    yield conv("conv2d_transpose", (2, 3, 4, 5), (3, 3, 5, 7), strides=(2, 2), padding=(1, 1, 1, 1))
    yield conv(
        "conv2d_transpose", (1, 4, 3, 6), (3, 2, 6, 2), 4,
        strides=(3, 2), padding=(1, 0, 0, 1), output_padding=(1, 0), dilation=(1, 2), groups=2,
    )  # fmt: skip
    yield conv("conv2d_transpose", (1, 4, 4, 5), (3, 3, 5, 1), 5, strides=(2, 2), padding=(1, 1, 1, 1), groups=5)


def _linear() -> Iterator[OpExample]:
    yield OpExample("nn.matmul", (normal(5, 7), normal(7, 3)))
    yield OpExample("nn.matmul", (normal(2, 1, 4, 6), normal(3, 6, 5)))
    yield OpExample("nn.matmul", (normal(6), normal(2, 6, 3)))
    yield OpExample("nn.matmul", (normal(2, 5, 6), normal(6)))
    yield OpExample("nn.matmul", (normal(6), normal(6)))
    yield OpExample("nn.linear", (normal(3, 17), normal(17, 10, scale=0.3), normal(10)))
    yield OpExample("nn.linear", (normal(1, 2, 3, 8), normal(8, 5, scale=0.3)))


def _normalization() -> Iterator[OpExample]:
    yield OpExample("nn.batch_norm", (normal(2, 4, 3, 7), normal(7), normal(7), normal(7), positive(7)))
    yield OpExample(
        "nn.batch_norm",
        (normal(2, 7, 4, 3), normal(7), normal(7), normal(7), positive(7)),
        {"axis": 1, "epsilon": 1e-3},
    )
    yield OpExample("nn.batch_norm", (normal(4, 6), positive(6), normal(6), normal(6), positive(6)))
    yield OpExample("nn.layer_norm", (normal(2, 5, 12), normal(12), normal(12)))
    yield OpExample("nn.layer_norm", (normal(2, 3, 4, 5), normal(3, 4, 5)), {"axis": 1, "epsilon": 1e-3})
    yield OpExample("nn.layer_norm", (normal(3, 9),))
    yield OpExample("nn.instance_norm", (normal(2, 5, 4, 3), normal(3), normal(3)))
    for name in ("softmax", "log_softmax"):
        yield OpExample(f"nn.{name}", (normal(3, 10, scale=3),))
        yield OpExample(f"nn.{name}", (normal(2, 5, 4, 3),), {"axis": 1})


def _pooling() -> Iterator[OpExample]:
    windows: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
        ((1, 8, 8, 6), {"kernel": (2, 2), "strides": (2, 2)}),
        ((2, 7, 9, 5), {"kernel": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)}),
        ((1, 9, 8, 3), {"kernel": (3, 2), "strides": (1, 2), "padding": (0, 1, 2, 0)}),
        ((1, 9, 9, 4), {"kernel": (3, 3), "padding": (1, 1, 1, 1), "dilation": (2, 2)}),
    )
    for shape, attributes in windows:
        yield OpExample("nn.max_pool2d", (normal(*shape),), attributes)
        yield OpExample("nn.average_pool2d", (normal(*shape),), attributes)
    yield OpExample("nn.average_pool2d", (normal(2, 7, 9, 5),), {**windows[1][1], "count_include_pad": True})
    yield OpExample("nn.max_pool2d", (whole(1, 5, 5, 3, dtype=np.int8),), windows[1][1])
    yield OpExample("nn.global_average_pool", (normal(2, 7, 5, 9),))
    yield OpExample("nn.global_max_pool", (normal(2, 7, 5, 9),))


def _shape() -> Iterator[OpExample]:
    yield OpExample("nn.reshape", (normal(2, 3, 4),), {"shape": (4, -1)})
    yield OpExample("nn.reshape", (normal(2, 3, 4),), {"shape": (1, 6, 4)})
    yield OpExample("nn.reshape", (normal(3, 0),), {"shape": (0, 7)})
    yield OpExample("nn.flatten", (normal(2, 3, 4, 5),))
    yield OpExample("nn.flatten", (normal(2, 3, 4),), {"axis": 0})
    yield OpExample("nn.flatten", (normal(2, 3, 4),), {"axis": -1})
    yield OpExample("nn.squeeze", (normal(2, 1, 3, 1),), {"axes": (1, -1)})
    yield OpExample("nn.squeeze", (normal(2, 1),), {"axes": ()})
    yield OpExample("nn.unsqueeze", (normal(2, 3),), {"axes": (0, -1)})
    yield OpExample("nn.transpose", (normal(2, 3, 4, 5),), {"permutation": (0, 3, 1, 2)})
    yield OpExample("nn.transpose", (normal(4, 3),), {"permutation": (1, 0)})
    yield OpExample("nn.expand", (normal(3, 1),), {"shape": (2, 1, 4)})
    yield OpExample("nn.expand", (normal(1, 3, 4),), {"shape": (1,)})
    yield OpExample("nn.concat", (normal(1, 4, 3, 5), normal(1, 4, 3, 2), normal(1, 4, 3, 1)), {"axis": -1})
    yield OpExample("nn.concat", (whole(2, 3), whole(1, 3)), {"axis": 0})
    yield OpExample("nn.concat", (normal(3),), {"axis": 0})
    yield OpExample("nn.split", (normal(2, 3, 7),), {"axis": -1, "sizes": (3, 1, 3)})
    yield OpExample("nn.split", (normal(4, 3),), {"axis": 0, "sizes": (4,)})
    yield OpExample("nn.tile", (normal(2, 3),), {"repeats": (1, 3)})
    yield OpExample("nn.depth_to_space", (normal(1, 3, 2, 12),), {"block": 2})
    yield OpExample("nn.depth_to_space", (normal(2, 3, 2, 18),), {"block": 3, "mode": "CRD"})
    yield OpExample("nn.space_to_depth", (normal(2, 4, 6, 3),), {"block": 2})


def _indexing() -> Iterator[OpExample]:
    def cut(x: Array, axes: Any, starts: Any, ends: Any, steps: Any) -> OpExample:
        return OpExample("nn.slice", (x,), {"axes": axes, "starts": starts, "ends": ends, "steps": steps})

    yield cut(normal(4, 6, 5), (1, -1), (1, -3), (5, 2**31 - 1), (2, 1))
    yield cut(normal(7, 3), (0,), (-1,), (-99,), (-2,))
    yield cut(whole(5, dtype=np.int64), (0,), (3,), (3,), (1,))
    yield OpExample("nn.gather", (normal(6, 4), i64(0, 5, -1, 2)))
    yield OpExample("nn.gather", (normal(3, 5, 2), whole(2, 3, low=-5, high=5)), {"axis": 1})
    yield OpExample("nn.gather", (i64(3, 4, 5), np.asarray(1, np.int64)))
    yield OpExample("nn.pad", (normal(1, 3, 4, 2),), {"before": (0, 1, 2, 0), "after": (0, 2, 0, 0)})
    yield OpExample("nn.pad", (normal(3, 4),), {"before": (0, -1), "after": (2, -1), "value": 1.5})
    yield OpExample("nn.pad", (normal(4, 5),), {"before": (2, 1), "after": (3, 0), "mode": "reflect"})
    yield OpExample("nn.pad", (normal(4, 5),), {"before": (2, -1), "after": (5, 3), "mode": "edge"})
    yield OpExample("nn.pad", (normal(4, 5),), {"before": (2, 0), "after": (3, 1), "mode": "wrap"})


def _resize() -> Iterator[OpExample]:
    yield OpExample(
        "nn.resize", (normal(1, 4, 5, 3),), {"size": (8, 10), "coordinates": "asymmetric", "rounding": "floor"}
    )
    yield OpExample("nn.resize", (normal(2, 5, 7, 3),), {"size": (9, 4)})
    yield OpExample("nn.resize", (normal(1, 4, 5, 3),), {"size": (8, 10), "mode": "linear"})
    yield OpExample(
        "nn.resize", (normal(2, 5, 7, 3),), {"size": (9, 4), "mode": "linear", "coordinates": "align_corners"}
    )
    yield OpExample("nn.resize", (normal(1, 5, 7, 2),), {"size": (7, 12), "mode": "linear", "scales": (1.5, 1.75)})
    yield OpExample("nn.resize", (whole(1, 3, 3, 2, low=0, high=200, dtype=np.uint8),), {"size": (6, 6)})


def _reduction() -> Iterator[OpExample]:
    for name in ("sum", "mean", "max", "min", "prod"):
        yield OpExample(f"nn.reduce_{name}", (normal(2, 4, 5, 3),), {"axes": (1, 2)})
        yield OpExample(f"nn.reduce_{name}", (normal(3, 7),), {"axes": (-1,), "keepdims": False})
        yield OpExample(f"nn.reduce_{name}", (whole(3, 4, dtype=np.int64),), {"axes": (0, 1), "keepdims": False})
        yield OpExample(f"nn.reduce_{name}", (normal(3, 2),), {"axes": ()})
    for name in ("argmax", "argmin"):
        yield OpExample(f"nn.{name}", (normal(3, 7),), {"axis": -1})
        yield OpExample(
            f"nn.{name}", (whole(5, 4, low=0, high=3),), {"axis": 0, "keepdims": False, "select_last": True}
        )


def _composites() -> Iterator[OpExample]:
    def excite(channels: int, squeezed: int, **attributes: Any) -> OpExample:
        weights = (
            normal(channels, squeezed, scale=0.5),
            normal(squeezed),
            normal(squeezed, channels),
            normal(channels),
        )
        return OpExample("nn.squeeze_excite", (normal(2, 4, 3, channels), *weights), attributes)

    yield excite(8, 2)
    yield excite(7, 3, gate="sigmoid", activation="swish")
    yield excite(5, 4, alpha=0.2, activation="hard_swish")

    def weights(inputs: int, hidden: int) -> tuple[Array, ...]:
        return (normal(inputs, 4 * hidden, scale=0.5), normal(hidden, 4 * hidden, scale=0.5), normal(4 * hidden))

    yield OpExample("nn.lstm_cell", (normal(2, 5), normal(2, 3), normal(2, 3), *weights(5, 3)))
    yield OpExample("nn.lstm", (normal(6, 2, 5), normal(2, 3), normal(2, 3), *weights(5, 3)))
    yield OpExample("nn.lstm", (normal(4, 1, 3), normal(1, 7), normal(1, 7), *weights(3, 7)), {"reverse": True})


def _shape_values() -> Iterator[OpExample]:
    yield OpExample("nn.shape", (normal(2, 3, 4),))
    yield OpExample("nn.shape", (normal(2, 3, 4),), {"start": -2, "end": 2})
    yield OpExample("nn.constant_of_shape", (i64(2, 3),), {"value": 1.5})
    yield OpExample("nn.constant_of_shape", (i64(4),), {"value": 7, "dtype": DType.I64})
    yield OpExample("nn.range", (scalar(2, np.int64), scalar(11, np.int64), scalar(3, np.int64)))
    yield OpExample("nn.range", (scalar(1, np.float32), scalar(-1, np.float32), scalar(-0.5, np.float32)))


def _dynamic() -> Iterator[OpExample]:
    yield OpExample("nn.dynamic_reshape", (normal(2, 3, 4), i64(0, -1)))
    yield OpExample("nn.dynamic_reshape", (normal(0, 3), i64(3, 0)), {"allow_zero": True})
    yield OpExample("nn.dynamic_slice", (normal(4, 6, 5), i64(1, -3), i64(5, 99), i64(1, -1), i64(2, 1)))
    yield OpExample("nn.dynamic_slice", (normal(4, 6), i64(1), i64(3)))
    yield OpExample("nn.dynamic_expand", (normal(3, 1), i64(2, 1, 4)))
    yield OpExample("nn.dynamic_tile", (normal(2, 3), i64(2, 1)))
    yield OpExample("nn.dynamic_pad", (normal(2, 3), i64(0, 1, 2, 0)), {"value": 2.0})
    yield OpExample("nn.dynamic_pad", (normal(4, 3), i64(2, 0, 1, -1)), {"mode": "reflect"})
    yield OpExample("nn.dynamic_resize", (normal(1, 4, 5, 3), i64(8, 10)), {"mode": "linear"})
    yield OpExample("nn.dynamic_resize_scales", (normal(1, 4, 5, 3), np.asarray([2, 1.5], np.float32)))


def _fused() -> Iterator[OpExample]:
    """The ops that apply an activation to their result, with each of them."""
    for activation in FUSIBLE_ACTIVATIONS:
        fused = {"activation": activation}
        yield OpExample("nn.add", (normal(2, 3, 5, scale=3), normal(5)), fused)
        yield OpExample("nn.linear", (normal(3, 7, scale=2), normal(7, 5), normal(5)), fused)
        yield OpExample("nn.conv2d", (normal(1, 4, 5, 6), normal(3, 3, 6, 7, scale=0.3), normal(7)), fused)
        yield OpExample("nn.conv2d", (normal(1, 5, 4, 6), normal(3, 3, 1, 6), normal(6)), {"groups": 6, **fused})
        yield OpExample("nn.conv2d_transpose", (normal(1, 3, 2, 6), normal(2, 2, 6, 5), normal(5)), fused)


EXAMPLES: tuple[OpExample, ...] = (
    *_elementwise(),
    *_logic(),
    *_activations(),
    *_convolution(),
    *_linear(),
    *_fused(),
    *_normalization(),
    *_pooling(),
    *_shape(),
    *_indexing(),
    *_resize(),
    *_reduction(),
    *_composites(),
    *_shape_values(),
    *_dynamic(),
)


def examples_of(*ops: str) -> list[OpExample]:
    """The examples of the named ops."""
    return [example for example in EXAMPLES if example.op in ops]
