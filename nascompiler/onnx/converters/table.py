"""The table of all converters."""

from nascompiler.onnx.converters import (
    activations,
    computed_shapes,
    constants,
    convolution,
    elementwise,
    integer_sums,
    logic,
    matrix,
    movement,
    normalization,
    pooling,
    quantization,
    quantized_elementwise,
    quantized_sums,
    recurrent,
    reductions,
    reshaping,
    resize,
    selection,
)
from nascompiler.onnx.converters.registry import Table

TABLE = Table(
    module.FAMILY
    for module in (
        activations,
        computed_shapes,
        constants,
        convolution,
        elementwise,
        integer_sums,
        logic,
        matrix,
        movement,
        normalization,
        pooling,
        quantization,
        quantized_elementwise,
        quantized_sums,
        recurrent,
        reductions,
        resize,
        reshaping,
        selection,
    )
)
"""Every operator that can be imported."""
