"""One ONNX node being converted: its operands, attributes and the ops a converter builds from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike

from nascompiler.image_layouts import TO_CHANNELS_LAST, ImageConversion, ImageScope
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Value
from nascompiler.ir.types import Array, Dim, DType
from nascompiler.onnx.errors import OnnxError, Refusal, Unknown
from nascompiler.onnx.integer_sums import IntegerSum
from nascompiler.onnx.known import Known, Partial
from nascompiler.onnx.tensors import MAXIMUM_RANK, check_shape

_DEQUANTIZE = ("qnn.dequantize", "qnn.dequantize_per_axis")
_LENGTH_IS_RANK = ("dynamic_reshape", "dynamic_expand", "constant_of_shape")


def _check_length(shape: Value | None) -> None:
    """Refuse a computed shape so long that the mere list of its dimensions would fill the memory."""
    length = shape.type.shape[0] if shape is not None and shape.type.shape else None
    if isinstance(length, int) and length > MAXIMUM_RANK:
        raise Refusal(f"its shape has {length} dimensions; at most {MAXIMUM_RANK} are accepted")


class Scope(ImageScope):
    """What all conversions of one model share: the graph under construction and what is known of its values."""

    def __init__(self, builder: Builder) -> None:
        super().__init__()
        self.builder = builder
        self.known = Known()
        self.permuted: dict[tuple[Value, tuple[int, ...]], Value] = {}
        """Constants permuted already: weights that several nodes share stay shared."""
        self.integer_sums: list[IntegerSum] = []


class Conversion(ImageConversion):
    """The view of a node that converters work with.

    Methods raise Refusal (Unknown where only a shape or value is missing) with the reason, which the importer lists.
    """

    def __init__(
        self,
        scope: Scope,
        node: onnx.NodeProto,
        opset: int,
        operands: Sequence[Value | None],
        attributes: dict[str, Any],
    ) -> None:
        self._scope: Scope = scope
        self.opset = opset
        self.operands = tuple(operands)
        self._attributes = attributes
        self.output_count = max((i + 1 for i, name in enumerate(node.output) if name), default=0)
        self._outputs = tuple(node.output)

    # -- operands

    def operand(self, index: int) -> Value:
        """The operand at `index`; refuses when it is absent."""
        value = self.optional(index)
        if value is None:
            raise Refusal(f"input {index} is missing")
        return value

    def optional(self, index: int) -> Value | None:
        return self.operands[index] if index < len(self.operands) else None

    def all_operands(self) -> list[Value]:
        return [self.operand(i) for i in range(len(self.operands))]

    def wants_output(self, index: int) -> bool:
        return index < len(self._outputs) and bool(self._outputs[index])

    # -- attributes

    def has(self, name: str) -> bool:
        """Whether an attribute is given or has a default."""
        return name in self._attributes

    def integer(self, name: str, default: int = 0) -> int:
        return int(self._attributes.get(name, default))

    def boolean(self, name: str) -> bool:
        return bool(self._attributes.get(name, 0))

    def number(self, name: str, default: float = 0.0) -> float:
        return float(self._attributes.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        return str(self._attributes.get(name, default))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, None when the attribute is absent."""
        values = self._attributes.get(name)
        return None if values is None else tuple(map(int, values))

    def tensor(self, name: str) -> Array | None:
        value: Array | None = self._attributes.get(name)
        return value

    def raw(self, name: str) -> Any:
        return self._attributes.get(name)

    # -- what is known of values

    def rank(self, value: Value) -> int:
        if value.type.rank is None:
            raise Unknown("the number of dimensions of its input is not known: give the shapes of the graph's inputs")
        return value.type.rank

    def shape(self, value: Value) -> tuple[Dim, ...]:
        self.rank(value)
        assert value.type.shape is not None
        return value.type.shape

    def dtype(self, value: Value) -> DType:
        return value.type.dtype

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front; refuses one outside -rank .. rank-1."""
        if not -rank <= axis < rank:
            raise Unknown(f"axis {axis} is outside the {rank} dimensions of its input")
        return axis % rank

    def axes(self, axes: Iterable[int], rank: int) -> tuple[int, ...]:
        found = tuple(self.axis(a, rank) for a in axes)
        if len(set(found)) != len(found):
            raise Refusal(f"an axis is named twice: {list(found)}")
        return found

    def array(self, value: Value) -> Array | None:
        """The values of a constant, None when they are not known at import."""
        return value.array

    def fixed(self, index: int, what: str) -> Array | None:
        """The values of an optional operand that must be constant; None when absent, refuses when not constant."""
        value = self.optional(index)
        if value is None:
            return None
        if value.array is None:
            raise Unknown(f"{what} is computed at run time; a constant is supported")
        return value.array

    def fixed_integers(self, index: int, what: str) -> tuple[int, ...] | None:
        array = self.fixed(index, what)
        return None if array is None else tuple(int(v) for v in np.asarray(array).reshape(-1))

    def partial(self, value: Value) -> Partial | None:
        """The elements of a 1-D integer value, None for each that is not known."""
        return self._scope.known.partial(value)

    # -- building

    def constant(self, values: ArrayLike, dtype: DType | None = None) -> Value:
        return self._scope.builder.constant(np.asarray(values, None if dtype is None else dtype.numpy))

    def scalar(self, number: float, like: Value) -> Value:
        """A 0-D constant of the element type of `like`."""
        return self.constant(number, like.type.dtype)

    def op(self, name: str, *operands: Value | None, **attributes: Any) -> Value:
        """Build a node with one result; `name` without prefix is of the nn dialect."""
        return self.results(name, *operands, **attributes)[0]

    def results(self, name: str, *operands: Value | None, **attributes: Any) -> tuple[Value, ...]:
        """Build a node and return its results, as constants where they follow from what is known."""
        if name in _LENGTH_IS_RANK:
            _check_length(operands[-1])
        builder = self._scope.builder
        result = builder.op(name if "." in name else f"nn.{name}", *operands, **attributes)
        results: tuple[Value, ...] = result if isinstance(result, tuple) else (result,)
        for value in results:
            try:
                check_shape("the result", tuple(d for d in value.type.shape or () if isinstance(d, int)))
            except OnnxError as error:
                raise Refusal(str(error)) from None
        node = results[0].producer
        assert node is not None
        folded = self._scope.known.fold(node)
        if folded is None:
            return results
        builder.graph.erase(node)
        return tuple(map(self.constant, folded))

    def transpose(self, value: Value, permutation: tuple[int, ...]) -> Value:
        """`value` with permuted dimensions; a constant is permuted here and now."""
        if value.array is not None and value.array.ndim == len(permutation):
            permuted = self._scope.permuted
            if (value, permutation) not in permuted:
                permuted[value, permutation] = self.constant(np.ascontiguousarray(value.array.transpose(permutation)))
            return permuted[value, permutation]
        if permutation == tuple(range(len(permutation))):
            return value
        made = value.producer
        if made is not None and made.op.name == "qnn.dequantize" and not made.operands[0].is_constant:
            whole = made.operands[0]  # moving integers takes less, and the op stays next to the dequantize node
            to_last = permutation == TO_CHANNELS_LAST
            moved = self.channels_last(whole) if to_last else self.transpose(whole, permutation)
            return self.op("qnn.dequantize", moved, **made.attributes)
        axes = tuple(map(permutation.index, range(len(permutation))))
        integers = self.rearranged(value, lambda array: array.transpose(permutation), axes)
        return integers or self.op("transpose", value, permutation=permutation)

    def note_sum(self, found: IntegerSum) -> None:
        """Remember 32-bit sums, for what the model does with them."""
        self._scope.integer_sums.append(found)

    def is_dequantized_constant(self, value: Value) -> bool:
        """Whether a value is integers of the model, weights or a bias, as numbers."""
        made = value.producer
        return made is not None and made.op.name in _DEQUANTIZE and made.operands[0].array is not None

    def rearranged(self, value: Value, move: Callable[[Array], Array], axes: Sequence[int]) -> Value | None:
        """A dequantised constant with its integers moved; None when `value` is none.

        Axis i of the integers becomes axis `axes[i]`. The dequantize node so stays next to the op that uses it, where
        passes look for it.
        """
        made = value.producer
        if made is None or not self.is_dequantized_constant(value):
            return None
        integers = made.operands[0]
        assert integers.array is not None
        key = (value, tuple(axes))
        if key not in self._scope.permuted:
            moved = self.constant(np.ascontiguousarray(move(integers.array)))
            moved.name = integers.name
            attributes: dict[str, Any] = dict(made.attributes)
            if "axis" in attributes:
                attributes["axis"] = axes[attributes["axis"]]
            self._scope.permuted[key] = self.op(made.op.name, moved, *made.operands[1:], **attributes)
        return self._scope.permuted[key]

    def image(self, value: Value, spatial: int) -> Value:
        """[N, C, W] (spatial = 1) or [N, C, H, W] (2) as NHWC, H being 1 in the first case."""
        if value.type.rank not in (None, spatial + 2):
            raise Refusal(f"its input has {value.type.rank} dimensions; {spatial + 2} are expected")
        return super().image(value, spatial)
