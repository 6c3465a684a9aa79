"""Channel structure: which channels of which tensors stay or go together, through every op of a graph.

`channel_structure(graph)` finds it, `describe` puts it into words, and `nascompiler.ir.channel_edit` removes channels.
A dimension that carries channels is a list of segments (group, length, repeat): concat appends, slice and split cut,
flatten repeats, and element-by-element ops, depthwise convolutions and gates unify, cutting where lengths differ. A
rule may also come with an op (`OpDef.channels`): a function of a `Flow`.

A pruning pass of one's own, by the norm of the filters:

    structure = channel_structure(graph)
    for group in structure.free_groups:
        norms = np.zeros(group.length)
        for use in group.constants:
            if use.role is Role.OUTPUT:
                filters = np.moveaxis(use.value.array, use.axis, 0)
                filters = filters[structure.positions(use.value, group.index, use.axis)]
                norms += np.square(filters.reshape(group.length, -1)).sum(axis=1)
        keep[group.index] = np.sort(np.argsort(norms)[group.length // 2 :])
    smaller = without_channels(structure, keep)  # or remove_channels(graph, keep), in place
"""

from nascompiler.ir.channels.analysis import channel_structure
from nascompiler.ir.channels.flow import Flow, NotFollowed, Rule
from nascompiler.ir.channels.report import GroupRow, describe
from nascompiler.ir.channels.structure import (
    AttributeUse,
    ChannelGroup,
    ChannelStructure,
    ConstantAxis,
    Role,
    Segment,
    Segments,
    positions,
)

__all__ = [
    "AttributeUse",
    "ChannelGroup",
    "ChannelStructure",
    "ConstantAxis",
    "Flow",
    "GroupRow",
    "NotFollowed",
    "Role",
    "Rule",
    "Segment",
    "Segments",
    "channel_structure",
    "describe",
    "positions",
]
