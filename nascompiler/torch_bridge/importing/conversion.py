"""One ATen call being converted: its arguments by name, and the ops a converter builds from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from nascompiler.image_layouts import ImageConversion, ImageScope
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Value
from nascompiler.ir.types import Array, Dim, DType, TensorType
from nascompiler.torch_bridge.dtypes import ir_dtype, torch_dtype
from nascompiler.torch_bridge.errors import Refusal, Unknown


@dataclass(frozen=True)
class OpenSize:
    """A size that is known at run time only, as a value i64[1] of the graph."""

    value: Value


Size = int | OpenSize


class Scope(ImageScope):
    """What all conversions of one program share."""

    def __init__(self, builder: Builder) -> None:
        super().__init__()
        self.builder = builder


class Conversion(ImageConversion):
    """The view of a call that converters work with; methods raise Refusal with the reason.

    `operator` is its name without overload, `arguments` are those of its schema by name, defaults included; `expected`
    the types of its results as torch knows them, None for those that are no tensors.
    """

    def __init__(
        self, scope: Scope, operator: str, arguments: Mapping[str, Any], expected: Sequence[TensorType | None]
    ) -> None:
        self._scope: Scope = scope
        self.operator = operator
        self._arguments = arguments
        self.expected = tuple(expected)

    # -- arguments

    def has(self, name: str) -> bool:
        """Whether the argument is in the schema and not None."""
        return self._arguments.get(name) is not None

    def raw(self, *names: str) -> Any:
        """The argument under the first of the names that the schema has, None when there is none."""
        for name in names:
            if name in self._arguments:
                return self._arguments[name]
        return None

    def value(self, *names: str) -> Value:
        """A tensor argument; by default the first one, whatever it is called."""
        found = self.raw(*names) if names else next(iter(self._arguments.values()))
        if not isinstance(found, Value):
            raise Refusal(f"its argument {'/'.join(names) or 'input'} is {found!r}; a tensor is needed")
        return found

    def optional(self, *names: str) -> Value | None:
        return None if self.raw(*names) is None else self.value(*names)

    def values(self, name: str) -> list[Value]:
        """A list of tensors."""
        found = self.raw(name)
        if not isinstance(found, (list, tuple)) or not all(isinstance(v, Value) for v in found):
            raise Refusal(f"its argument {name} is no list of tensors")
        return list(found)

    def integer(self, *names: str) -> int:
        found = self.raw(*names)
        if isinstance(found, OpenSize):
            raise Unknown(f"its argument {names[0]} is known at run time only: export with a fixed shape")
        if not isinstance(found, int):
            raise Refusal(f"its argument {names[0]} is {found!r}; an integer is needed")
        return found

    def boolean(self, *names: str) -> bool:
        return bool(self.raw(*names))

    def number(self, *names: str) -> float:
        found = self.raw(*names)
        if not isinstance(found, (int, float)):
            raise Refusal(f"its argument {names[0]} is {found!r}; a number is needed")
        return float(found)

    def integers(self, *names: str) -> tuple[int, ...]:
        """A list of integers; one integer is a list of itself, None an empty one."""
        found = self.sizes(*names)
        fixed = tuple(s for s in found if not isinstance(s, OpenSize))
        if len(fixed) != len(found):
            raise Unknown(f"its argument {names[0]} is known at run time only: export with a fixed shape")
        return fixed

    def sizes(self, *names: str) -> tuple[Size, ...]:
        """A list of sizes, each an integer or open."""
        found = self.raw(*names)
        if found is None:
            return ()
        return tuple(found) if isinstance(found, (list, tuple)) else (found,)

    def pair(self, *names: str, default: tuple[int, int] | None = None) -> tuple[int, int]:
        """(height, width); one number stands for both, an empty list for the default."""
        found = self.integers(*names)
        if not found and default is not None:
            return default
        if len(found) not in (1, 2):
            raise Refusal(f"its argument {names[0]} is {list(found)}; one or two numbers are expected")
        return found[0], found[-1]

    # -- what is known of values

    def rank(self, value: Value) -> int:
        return len(self.shape(value))

    def shape(self, value: Value) -> tuple[Dim, ...]:
        if value.type.shape is None:
            raise Unknown("the number of dimensions of its input is not known")
        return value.type.shape

    def dim(self, value: Value, axis: int) -> int:
        """A dimension that has to be known."""
        size = self.shape(value)[axis]
        if not isinstance(size, int):
            raise Unknown(f"dimension {axis} of its input is open: export with a fixed shape")
        return size

    def axis(self, value: Value, axis: int) -> int:
        """An axis of the value counted from the front."""
        rank = max(self.rank(value), 1)
        if not -rank <= axis < rank:
            raise Refusal(f"axis {axis} is outside the {rank} dimensions of its input")
        return axis % rank

    def axes(self, value: Value, *names: str) -> tuple[int, ...]:
        """The argument as axes counted from the front; none given, or an empty list, means all."""
        given = self.integers(*names)
        return tuple(self.axis(value, a) for a in given) if given else tuple(range(self.rank(value)))

    @property
    def dtype(self) -> DType:
        """The element type of the first result."""
        expected = self.expected[0]
        if expected is None:
            raise Refusal("its result is no tensor")
        return expected.dtype

    def promoted(self, *names: str) -> DType:
        """The element type to which torch promotes these arguments, numbers among them."""
        one, other = (self._stand_in(self.raw(name)) for name in names)
        found = ir_dtype(torch.result_type(one, other))
        if found is None:
            raise Refusal(f"arguments of types {one} and {other}")
        return found

    def _stand_in(self, argument: Any) -> Any:
        """Something of the same element type and kind: numbers and 0-D tensors count for less in promotion."""
        if isinstance(argument, Value):
            return torch.empty((1,) * min(self.rank(argument), 1), dtype=torch_dtype(argument.type.dtype))
        return 1 if isinstance(argument, OpenSize) else argument

    # -- building

    def constant(self, values: ArrayLike, dtype: DType | None = None, name: str = "") -> Value:
        return self._scope.builder.constant(np.asarray(values, None if dtype is None else dtype.numpy), name)

    def operand(self, argument: Any, dtype: DType) -> Value:
        """A tensor or number as a value of that element type."""
        if isinstance(argument, OpenSize):
            argument = self.op("squeeze", argument.value, axes=(0,))
        if isinstance(argument, Value):
            return self.cast(argument, dtype)
        if isinstance(argument, (bool, int, float)):
            return self.constant(argument, dtype)
        raise Refusal(f"its argument {argument!r} is no tensor and no number")

    def cast(self, value: Value, dtype: DType) -> Value:
        return value if value.type.dtype == dtype else self.op("cast", value, to=dtype)

    def op(self, name: str, *operands: Value | None, **attributes: Any) -> Value:
        """Build a node of the nn dialect with one result; `name` without prefix."""
        return self.results(name, *operands, **attributes)[0]

    def results(self, name: str, *operands: Value | None, **attributes: Any) -> tuple[Value, ...]:
        made = self._scope.builder.op(f"nn.{name}", *operands, **attributes)
        return made if isinstance(made, tuple) else (made,)

    def folded(self, value: Value, array: Array) -> Value:
        """A constant computed from the constant `value`; it keeps the name."""
        return self.constant(np.ascontiguousarray(array), name=value.name)

    def transpose(self, value: Value, permutation: Iterable[int]) -> Value:
        """`value` with permuted dimensions; a constant is permuted here and now."""
        order = tuple(permutation)
        if order == tuple(range(len(order))):
            return value
        if value.array is not None:
            return self.folded(value, value.array.transpose(order))
        return self.op("transpose", value, permutation=order)

    def reshape(self, value: Value, sizes: Sequence[Size]) -> Value:
        """`value` in another shape, of whose sizes any number may be open."""
        fixed = [-1 if isinstance(s, OpenSize) else s for s in sizes]
        if fixed.count(-1) <= 1:
            if value.array is not None:
                return self.folded(value, value.array.reshape(fixed))
            return self.op("reshape", value, shape=tuple(fixed))
        return self.op("dynamic_reshape", value, self.shape_value(sizes), allow_zero=True)

    def shape_value(self, sizes: Sequence[Size]) -> Value:
        """Sizes as one i64 value."""
        parts = [s.value if isinstance(s, OpenSize) else self.constant([s], DType.I64) for s in sizes]
        return parts[0] if len(parts) == 1 else self.op("concat", *parts, axis=0)

    def sizes_of(self, value: Value) -> tuple[Size, ...]:
        """The shape of a value, to reshape others like it."""
        return tuple(
            size if isinstance(size, int) else OpenSize(self.op("shape", value, start=axis, end=axis + 1))
            for axis, size in enumerate(self.shape(value))
        )

    # -- images

    def image(self, value: Value, spatial: int) -> Value:
        """[N, C, W] (spatial = 1) or [N, C, H, W] (2) as NHWC, H being 1 in the first case."""
        if self.rank(value) != spatial + 2:
            raise Refusal(f"its input has {self.rank(value)} dimensions; {spatial + 2} are expected")
        return super().image(value, spatial)
