"""ONNX nodes under construction, and for every value of ours the names of the forms that exist of it.

A four-dimensional value may exist as it is (`plain`) and, where an image op made it or wanted it, as NCHW (`first`: the
NHWC value with its channels first). A form is made by a Transpose when it is first asked for, and never otherwise; ops
that work in any layout take the form that exists. So a graph whose images flow from conv to conv gets no transposes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

from nascompiler.image_layouts import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from nascompiler.ir.constant import Constant
from nascompiler.ir.graph import Value
from nascompiler.onnx.errors import Refusal

CHANNELS_FIRST_AXIS = (0, 2, 3, 1)
"""Axis of an NHWC value -> the same axis in NCHW."""

OPSET = 19
OPSET_OF_16_BITS = 21
"""The first in which integers of 16 bits can be quantised and dequantised."""

Permutation = tuple[int, ...]


class Emitter:
    """Collects nodes and initializers; `reserved` names are kept for inputs and outputs."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._names = set(reserved)
        self._counts: Counter[str] = Counter()
        self._plain: dict[Value, str] = {}
        self._first: dict[Value, str] = {}
        self._constants: dict[tuple[str, Permutation | None], str] = {}
        self._parameters: dict[Value, Callable[[Permutation | None], str]] = {}
        self.opset = OPSET
        """The opset that the nodes so far need."""

    # -- names

    def unique(self, hint: str) -> str:
        name = hint
        while name in self._names:
            self._counts[hint] += 1
            name = f"{hint}_{self._counts[hint]}"
        self._names.add(name)
        return name

    def constant(self, values: ArrayLike, hint: str = "constant") -> str:
        """An initializer of these values, shared between equal ones."""
        return self._initializer(Constant.of(np.asarray(values)), hint)

    def _initializer(self, constant: Constant, hint: str, permutation: Permutation | None = None) -> str:
        key = (constant.digest, permutation)
        if key not in self._constants:
            array = constant.array if permutation is None else constant.array.transpose(permutation)
            name = self.unique(hint or "weight")
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            self._constants[key] = name
        return self._constants[key]

    # -- forms of values

    def plain(self, value: Value) -> str:
        """The value as it is."""
        if value.constant is not None:
            return self._initializer(value.constant, value.name)
        if value not in self._plain and value in self._parameters:
            self._plain[value] = self._parameters[value](None)
        if value not in self._plain:
            self._plain[value] = self.node("Transpose", self._first[value], perm=TO_CHANNELS_LAST, hint=value.name)
        return self._plain[value]

    def first(self, value: Value) -> str:
        """The NHWC value as NCHW."""
        if value.constant is not None:
            return self._initializer(value.constant, value.name, TO_CHANNELS_FIRST)
        if value not in self._first and value in self._parameters:
            self._first[value] = self._parameters[value](TO_CHANNELS_FIRST)
        if value not in self._first:
            self._first[value] = self.node("Transpose", self._plain[value], perm=TO_CHANNELS_FIRST, hint=value.name)
        return self._first[value]

    def form(self, value: Value, *, channels_first: bool) -> str:
        return self.first(value) if channels_first else self.plain(value)

    def row_major(self, value: Value) -> str:
        """A form with the elements of `value` in the same order, for ops that reshape: free where H and W are 1."""
        shape = value.type.shape
        if value in self._first and value not in self._plain and shape is not None and shape[1:3] == (1, 1):
            return self._first[value]
        return self.plain(value)

    def permuted(self, value: Value, permutation: Permutation) -> str:
        """A weight with its dimensions permuted."""
        if value.constant is not None:
            return self._initializer(value.constant, value.name, permutation)
        if value in self._parameters:
            return self._parameters[value](permutation)
        return self.node("Transpose", self.plain(value), perm=permutation)

    def prefers_first(self, values: Iterable[Value]) -> bool:
        """Whether an op in any layout should work in NCHW: that takes fewer transposes for these operands."""
        images = [v for v in values if v.type.rank == 4 and not v.is_constant and v not in self._parameters]
        without_plain = sum(v not in self._plain for v in images)
        return without_plain > 0 and without_plain >= sum(v not in self._first for v in images)

    def broadcastable(self, value: Value, *, channels_first: bool) -> str:
        """An operand of an elementwise op whose result has four dimensions, in the layout of that result."""
        rank = value.type.rank
        if not channels_first or rank == 0 or value.type.shape == (1,):
            return self.plain(value)
        if rank == 4:
            return self.first(value)
        if rank is None:
            raise Refusal("the number of dimensions of an operand is not known")
        if value.array is not None:
            widened = value.array.reshape((1,) * (4 - rank) + value.array.shape)
            return self.constant(widened.transpose(TO_CHANNELS_FIRST), value.name)
        wide = self.node("Unsqueeze", self.plain(value), self.constant(np.arange(4 - rank)))
        return self.node("Transpose", wide, perm=TO_CHANNELS_FIRST)

    def set_parameter(self, value: Value, make: Callable[[Permutation | None], str]) -> None:
        """A value made of a constant; `make` adds what makes it, with its dimensions permuted."""
        self._parameters[value] = make

    def set_plain(self, value: Value, name: str) -> None:
        self._plain[value] = name

    def set_first(self, value: Value, name: str) -> None:
        self._first[value] = name

    def set_form(self, value: Value, name: str, *, channels_first: bool) -> None:
        (self._first if channels_first else self._plain)[value] = name

    def alias(self, value: Value, source: Value) -> None:
        """Let `value` have the forms of `source`, with which it is identical."""
        if source.is_constant or source in self._plain:
            self._plain[value] = self.plain(source)
        if source in self._first:
            self._first[value] = self._first[source]

    # -- nodes

    def node(self, operator: str, *inputs: str, hint: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns its name. Attributes that are None are left out."""
        return self.nodes_outputs(operator, *inputs, hints=[hint], **attributes)[0]

    def nodes_outputs(self, operator: str, *inputs: str, hints: Sequence[str], **attributes: Any) -> list[str]:
        """Add a node with an output for each hint at its name."""
        outputs = [self.unique(hint or operator.lower()) for hint in hints]
        given = {name: value for name, value in attributes.items() if value is not None}
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, name, **given))
        return outputs
