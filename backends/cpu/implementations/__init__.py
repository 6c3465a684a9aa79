"""The kernels that can compute each call, a module for each family; importing this package registers them all."""

from nascompiler.backends.cpu.implementations import (
    convolution,
    depthwise,
    fully_connected,
    inverted_residual,
    joined_sums,
    pointwise,
    pooling,
    quantized_convolution,
    quantized_depthwise,
    quantized_elementwise,
    quantized_pooling,
    quantized_product,
    separable,
    softmax,
    squeeze_excite,
)

__all__ = [
    "convolution",
    "depthwise",
    "fully_connected",
    "inverted_residual",
    "joined_sums",
    "pointwise",
    "pooling",
    "quantized_convolution",
    "quantized_depthwise",
    "quantized_elementwise",
    "quantized_pooling",
    "quantized_product",
    "separable",
    "softmax",
    "squeeze_excite",
]
