"""From events to cycles: what was executed and missed, at what it costs on a core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nascompiler.backends.arm.estimate.blocks import basic_blocks
from nascompiler.backends.arm.estimate.pipeline import Pipeline
from nascompiler.backends.arm.estimate.profile import Misses, Profile
from nascompiler.backends.cores import Core

OVERLAPPED_MISSES = 4
"""How many misses at random an out-of-order core waits for at the same time."""

_LONG_LOOP, _LONG_LOOP_IN_ORDER = 32, 8
"""Turns of a loop from which on its end is mispredicted: of shorter loops the predictor remembers it."""


@dataclass(frozen=True)
class Events:
    """What a call did, by what it costs.

    `compute` is in cycles of the model of the pipeline; `mispredictions` are ends of loops; the others count lines that
    came from the second or third level of the caches or from memory, at random or as part of a stream.
    """

    instructions: int
    compute: float
    mispredictions: int
    l2_random: int
    l2_stream: int
    l3_random: int
    l3_stream: int
    memory_random: int
    memory_stream: int

    @classmethod
    def of(cls, profile: Profile, core: Core, pipeline: Pipeline) -> Events:
        """The events of a profile; raises DeviceError for code that the model of the pipeline does not know."""
        blocks = basic_blocks(profile)
        cycles = pipeline.cycles([block.words for block in blocks])
        long = _LONG_LOOP_IN_ORDER if core.model.in_order else _LONG_LOOP
        l2, *l3, memory = profile.levels
        third = l3[0] if l3 else Misses(0, 0)
        return cls(
            instructions=profile.instructions,
            compute=sum(block.count * cycles[block.words] for block in blocks),
            mispredictions=sum(block.exits for block in blocks if block.back and block.count > long * block.exits),
            l2_random=l2.at_random,
            l2_stream=l2.in_streams,
            l3_random=third.at_random,
            l3_stream=third.in_streams,
            memory_random=memory.at_random,
            memory_stream=memory.in_streams,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Events:
        """The events of `to_json`; raises TypeError or KeyError for something else."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Cycles:
    """Cycles of a call: what the pipeline takes, what memory and mispredictions add by themselves, and the total.

    On a core that executes out of order the total is less than the sum: computing and streams of lines overlap.
    """

    compute: float
    memory: float
    branches: float
    total: float


def price(events: Events, core: Core) -> Cycles:
    """What events cost on a core."""
    model = core.model
    latency = (
        events.l2_random * model.l2_random_cycles
        + events.l3_random * model.l3_random_cycles
        + events.memory_random * model.memory_random_cycles
    )
    bandwidth = (
        events.l2_stream * model.l2_stream_cycles
        + events.l3_stream * model.l3_stream_cycles
        + events.memory_stream * model.memory_stream_cycles
    )
    branches = events.mispredictions * model.mispredict_cycles
    if model.in_order:
        return Cycles(events.compute, latency + bandwidth, branches, events.compute + latency + bandwidth + branches)
    waiting = latency / OVERLAPPED_MISSES
    return Cycles(events.compute, waiting + bandwidth, branches, max(events.compute, bandwidth) + waiting + branches)
