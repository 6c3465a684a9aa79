"""The table of all emitters."""

from collections.abc import Mapping

from nascompiler.onnx.emitters import (
    computed_shapes,
    elementwise,
    images,
    matrix,
    movement,
    quantization,
    quantized_operators,
    reductions,
)
from nascompiler.onnx.emitters.registry import Emit

EMITTERS: Mapping[str, Emit] = {
    name: emit
    for module in (
        computed_shapes,
        elementwise,
        images,
        matrix,
        movement,
        quantization,
        quantized_operators,
        reductions,
    )
    for name, emit in module.EMITTERS.items()
}
"""Every op that can be exported. A composite that is missing is expanded first."""
