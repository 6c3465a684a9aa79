"""Softmax over rows of float32 numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import exp
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.ir.types import DType

Step = Callable[[Index, Vector], Vector]
"""Takes the numbers at a place, as many as the vector has lanes, into what was found of those before."""


@dataclass(frozen=True)
class Softmax(Kernel):
    """result [rows, length] = exp(x - the largest x of the row), divided by its sum over the row; length >= lanes.

    What does not fill a vector at the end of a row is computed one by one. Threads share rows.
    """

    lanes: int

    name: ClassVar[str] = "softmax_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return dict.fromkeys(["x", "result"], DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("rows", "length")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        length = n["length"]
        with e.loop(*share(e, n["rows"], n)) as row:
            x, result = p["x"] + row.index * length, p["result"] + row.index * length

            def larger(place: Index, most: Vector) -> Vector:
                return e.at_least(e.load(x + place, most.lanes), most)

            most = self._over_row(e, length, float("-inf"), larger, e.at_least)

            def added(place: Index, total: Vector) -> Vector:
                power = exp(e, e.load(x + place, total.lanes) - e.part(most, 0, total.lanes))
                e.store(power, result + place)
                return total + power

            share_of_one = 1 / self._over_row(e, length, 0.0, added, lambda a, b: a + b)

            def scaled(place: Index, nothing: Vector) -> Vector:
                e.store(e.load(result + place, nothing.lanes) * e.part(share_of_one, 0, nothing.lanes), result + place)
                return nothing

            self._over_row(e, length, 0.0, scaled, lambda a, b: a)

    def _over_row(
        self, e: Emitter, length: Index, start: float, step: Step, join: Callable[[Vector, Vector], Vector]
    ) -> Vector:
        """What the steps over a row find, joined over the lanes, in each of them."""
        lanes = self.lanes
        whole = length // lanes * lanes
        with e.loop(0, whole, lanes, [e.constant(start, lanes)], unroll=4) as loop:
            loop.values = [step(loop.index, loop.values[0])]
        found, width = loop.values[0], lanes
        while width > 1:
            width //= 2
            found = join(found, e.shuffle(found, found, [i ^ width for i in range(lanes)]))
        with e.loop(whole, length, 1, [e.part(found, 0, 1)], unroll=1) as rest:
            rest.values = [step(rest.index, rest.values[0])]
        return e.shuffle(rest.values[0], rest.values[0], [0] * lanes)
