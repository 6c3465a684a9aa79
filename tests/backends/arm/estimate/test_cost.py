from __future__ import annotations

from dataclasses import replace

import pytest

from nascompiler.backends.arm.estimate.cost import Cycles, Events, price
from nascompiler.backends.cores import find_core

NOTHING = Events(0, 0.0, 0, 0, 0, 0, 0, 0, 0)
A72, A53 = find_core("arm", "cortex-a72"), find_core("arm", "cortex-a53")


def test_an_out_of_order_core_computes_while_lines_stream():
    model = A72.model
    busy = replace(NOTHING, compute=1000.0, memory_stream=10)
    assert price(busy, A72) == Cycles(1000.0, 10 * model.memory_stream_cycles, 0, 1000.0)
    starved = replace(busy, memory_stream=1000)
    assert price(starved, A72).total == 1000 * model.memory_stream_cycles


def test_an_in_order_core_waits():
    model = A53.model
    events = replace(NOTHING, compute=1000.0, memory_stream=10, l2_random=3, mispredictions=2)
    memory = 10 * model.memory_stream_cycles + 3 * model.l2_random_cycles
    assert price(events, A53) == Cycles(1000.0, memory, 2 * model.mispredict_cycles, 1000.0 + memory + 16)


@pytest.mark.parametrize("event", [name for name in Events.__dataclass_fields__ if name != "instructions"])
@pytest.mark.parametrize("name", ["cortex-a55", "cortex-a76"])
def test_every_event_costs(name, event):
    core = find_core("arm", name)
    assert price(replace(NOTHING, **{event: 100}), core).total > 0


def test_events_survive_the_store():
    events = Events(1, 2.5, 3, 4, 5, 6, 7, 8, 9)
    assert Events.from_json(events.to_json()) == events
