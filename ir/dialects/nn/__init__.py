"""The `nn` dialect: networks on floating-point (and index) tensors. Images are NHWC, convolution weights HWIO.

Importing this package registers its ops; `nascompiler.ir.ops.OPS` does so at the first look-up.
"""

from nascompiler.ir.dialects.nn import (
    activations,
    convolution,
    dynamic,
    elementwise,
    indexing,
    joining,
    linear,
    logic,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
    shape,
    shape_values,
    squeeze_excite,
)

__all__ = [
    "activations",
    "convolution",
    "dynamic",
    "elementwise",
    "indexing",
    "joining",
    "linear",
    "logic",
    "normalization",
    "pooling",
    "recurrent",
    "reduction",
    "resize",
    "shape",
    "shape_values",
    "squeeze_excite",
]
