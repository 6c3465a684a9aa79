"""The table of all converters."""

from nascompiler.torch_bridge.importing.converters import (
    activations,
    convolution,
    elementwise,
    making,
    matrix,
    normalization,
    pooling,
    recurrent,
    reductions,
    resize,
    selection,
    shaping,
)
from nascompiler.torch_bridge.importing.converters.registry import joined

CONVERTERS = joined(
    module.FAMILY
    for module in (
        activations,
        convolution,
        elementwise,
        making,
        matrix,
        normalization,
        pooling,
        recurrent,
        reductions,
        resize,
        selection,
        shaping,
    )
)
"""Every ATen operator that can be imported, without namespace and overload."""
