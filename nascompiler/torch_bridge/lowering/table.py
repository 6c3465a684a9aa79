"""The table of all lowerings."""

from nascompiler.torch_bridge.lowering import (
    activations,
    computed,
    convolution,
    elementwise,
    indexing,
    matrix,
    movement,
    normalization,
    pooling,
    quantized,
    recurrent,
    reductions,
)
from nascompiler.torch_bridge.lowering.registry import Lowering

_STATIC = {
    f"{module.FAMILY.dialect}.{name}": lowering
    for module in (
        activations,
        computed,
        convolution,
        elementwise,
        indexing,
        matrix,
        movement,
        normalization,
        pooling,
        quantized,
        recurrent,
        reductions,
    )
    for name, lowering in module.FAMILY.lowerings.items()
}
LOWERINGS: dict[str, Lowering] = {**_STATIC, **computed.dynamic_lowerings(_STATIC)}
"""Every op that torch runs, by full name. A composite op that is missing runs by its decomposition."""
