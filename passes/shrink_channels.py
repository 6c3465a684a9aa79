"""Fewer channels: the step that NetAdapt (arXiv:1804.03230) takes again and again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Graph, UsageError
from nascompiler.ir.channel_edit import remove_channels
from nascompiler.ir.channels import ChannelStructure, channel_structure
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.shrinking import criterion, largest

Keep = int | tuple[int, ...]
"""How many channels of a group stay, or which."""

ACCEPTED = "GROUP=COUNT or GROUP=[INDEX FIRST-LAST ...], several with commas between, as 4=64,7=[0-15 20]"


@register_pass
@dataclass(frozen=True)
class ShrinkChannels(Pass):
    """Keeps some channels of some groups: `keep="4=64,7=[0-15 20]"`, groups by their numbers.

    `nascompiler inspect --channel-groups` lists the groups. Where a count is given, those stay whose score by the
    `criterion` is largest: `l2` (the norm of their filters), `l1`, `normalized` (l2 with batch norms folded), or one
    that a script registers. Weights, batch norms, biases, scales and zero points go with their channels, and the
    network computes what it did with the removed channels of every tensor at zero, in qnn at their zero point.

    Raises UsageError that lists all groups that there are not, or that are frozen, and all channels that do not fit.
    """

    requires_level = ("nn", "qnn")
    requires = frozenset({"closed"})
    preserves = Nothing("channels are gone")

    keep: str = ""
    criterion: str = "l2"

    def __post_init__(self) -> None:
        parse_keep(self.keep)

    @classmethod
    def of(cls, keep: Mapping[int, int | Sequence[int]], criterion: str = "l2") -> ShrinkChannels:
        """The pass for counts or indices by group."""
        return cls(keep_text(keep), criterion)

    def run(self, graph: Graph, context: PassContext) -> None:
        structure = channel_structure(graph)
        keep = chosen_channels(structure, parse_keep(self.keep), self.criterion)
        context.count("channels removed", sum(structure.groups[g].length - len(kept) for g, kept in keep.items()))
        remove_channels(graph, keep, structure)


def chosen_channels(
    structure: ChannelStructure, keep: Mapping[int, int | Sequence[int]], by: str = "l2"
) -> dict[int, Sequence[int]]:
    """The indices that stay, by group; raises UsageError for groups that there are not and counts that do not fit."""
    score = criterion(by)
    found: dict[int, Sequence[int]] = {}
    problems = []
    for index, kept in keep.items():
        if not isinstance(kept, int):
            found[index] = kept
        elif not 0 <= index < len(structure.groups):
            problems.append(f"there is no group {index}; groups: 0 to {len(structure.groups) - 1}")
        elif not 1 <= kept <= structure.groups[index].length:
            length = structure.groups[index].length
            problems.append(f"group {index} has {length} channels and {kept} are to stay; accepted: 1 to {length}")
        elif kept < (group := structure.groups[index]).length:
            if group.frozen:
                problems.append(f"group {index} ({group.length} channels) is frozen: {'; '.join(group.frozen)}")
                continue
            found[index] = [int(i) for i in largest(np.asarray(score(structure, group), np.float64), kept)]
    if problems:
        raise UsageError("these channels cannot be removed: " + "\n  ".join(["", *problems]))
    return found


def keep_text(keep: Mapping[int, int | Sequence[int]]) -> str:
    """The option `keep` for counts or indices by group."""
    parts = [f"{g}={k}" if isinstance(k, int) else f"{g}=[{' '.join(map(str, k))}]" for g, k in keep.items()]
    return ",".join(parts)


def parse_keep(text: str) -> dict[int, Keep]:
    """`4=64,7=[0-15 20]` -> {4: 64, 7: (0, ..., 15, 20)}; raises UsageError for anything else."""
    found: dict[int, Keep] = {}
    for part in text.split(",") if text.strip() else []:
        match = re.fullmatch(r"\s*(\d{1,9})\s*=\s*(?:(\d{1,9})|\[([\d\s-]*)\])\s*", part)
        if match is None:
            raise UsageError(f"keep has {part.strip()!r}; accepted: {ACCEPTED}")
        group = int(match[1])
        if group in found:
            raise UsageError(f"keep has group {group} twice")
        found[group] = int(match[2]) if match[2] is not None else _indices(match[3], part)
    return found


def _indices(text: str, part: str) -> tuple[int, ...]:
    indices: list[int] = []
    for word in text.split():
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", word)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"keep has {part.strip()!r}; accepted: {ACCEPTED}")
        indices += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(indices)
