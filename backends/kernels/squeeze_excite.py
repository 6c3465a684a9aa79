"""The gate of squeeze-and-excitation in one call: mean of the image and two small products, weights read once each.

Hu et al., Squeeze-and-Excitation Networks (2018), section 3; the hard gate as in MobileNetV3, section 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import Activation
from nascompiler.backends.kernels.columns import Columns, column_pointers
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.backends.kernels.gemm import finish_tile
from nascompiler.backends.kernels.gemv import multiply_rows
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.pooling import average, vector_lanes
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class SqueezeExciteGate(Kernel):
    """result [images, channels] = gate(activation(mean(x) @ squeeze + squeeze_bias) @ excite + excite_bias).

    x is [images, pixels, channels], squeeze [channels, squeezed] and excite [squeezed, channels], packed for a Gemv.
    `few` is the number of channels where it is less than a vector, otherwise 0; `short` weights take three bytes. The
    workspace has room for `channels`
    and `squeezed` floats, each rounded up to a vector, for each chunk. Threads share images.
    """

    activation: Activation
    gate: Activation
    few: int = 0
    short: bool = False

    name: ClassVar[str] = "squeeze_excite_gate_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        products = {k: v for name in ("squeeze", "excite") for k, v in column_pointers(name, short=self.short).items()}
        return {"x": DType.F32, **products, "result": DType.F32, "workspace": DType.F32}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("images", "pixels", "channels", "squeezed")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = e.isa.lanes
        channels, squeezed = n["channels"], n["squeezed"]

        def vectors(count: Index) -> Index:
            return (count + (lanes - 1)) // lanes

        def product(
            x: Pointer, k: Index, matrix: str, columns: Index, result: Pointer, activation: Activation, few: int
        ) -> None:
            weight = Columns.of(e, p, matrix, short=self.short)

            def finish(column: Index, sums: Sequence[Vector]) -> None:
                finish_tile(
                    e,
                    [weight.scaled(sums, column, columns)],
                    column,
                    e.larger(columns, lanes),
                    bias=p[f"{matrix}_bias"],
                    residual=None,
                    result=result,
                    row_length=0,
                    activation=activation,
                    columns=few,
                )

            multiply_rows(e, [x], weight, k, e.index(0), vectors(columns), finish)

        size = (vectors(channels) + vectors(squeezed)) * lanes
        means = p["workspace"] + n["chunk"] * size
        hidden = means + vectors(channels) * lanes
        first, last = share(e, n["images"], n)
        with e.loop(first, last) as loop:
            x = p["x"] + loop.index * n["pixels"] * channels
            average(e, x, n["pixels"], channels, means, vector_lanes(self.few or lanes, lanes))
            product(means, channels, "squeeze", squeezed, hidden, self.activation, 0)
            product(hidden, squeezed, "excite", channels, p["result"] + loop.index * channels, self.gate, self.few)
