"""Channel structure: which channels of which tensors stay or go together, through every op of a graph.

`channel_structure(graph)` finds it, `describe` puts it into words, and `nascompiler.ir.channel_edit` removes channels.
A dimension that carries channels is a list of segments (group, length, repeat): concat appends, slice and split cut,
flatten repeats, and element-by-element ops, depthwise convolutions and gates unify, cutting where lengths differ. A
rule may also come with an op (`OpDef.channels`): a function of a `Flow`.
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
