"""From a region to a program."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, replace

from nascompiler.backends.tpu.compiler.emission import Emitter, Slice
from nascompiler.backends.tpu.compiler.emit_others import emit_elementwise, emit_pool, emit_read, emit_write
from nascompiler.backends.tpu.compiler.emit_sums import emit_sum
from nascompiler.backends.tpu.compiler.mapping import Figures, Mapping, Shape, best_mapping, cost
from nascompiler.backends.tpu.compiler.memory import WeightMemory, aligned
from nascompiler.backends.tpu.compiler.schedule import Schedule, Segment, make_schedule
from nascompiler.backends.tpu.compiler.tensors import View
from nascompiler.backends.tpu.compiler.work import ElementwiseWork, Network, PoolWork, SumWork, Work
from nascompiler.backends.tpu.isa import HostTensor, Opcode, Program
from nascompiler.backends.tpu.isa.hazards import insert_synchronization
from nascompiler.backends.tpu.machine import Machine
from nascompiler.ir.errors import ModelError


@dataclass(frozen=True)
class Plan:
    """What was decided before any instruction was written.

    `mappings` are by the label of the layer, `accumulators` is how many accumulator rows are used.
    """

    schedule: Schedule
    mappings: Dictionary[str, Mapping]
    accumulators: int


def make_plan(
    network: Network,
    machine: Machine,
    *,
    like: Machine | None = None,
    mappings: Dictionary[str, Mapping] | None = None,
) -> Plan:
    """A plan for a machine; with `like`, the plan that a smaller machine would have, to be run on this one.

    `mappings` are those of layers that are decided already. Raises ModelError for a network that cannot fit.
    """
    model = like or machine
    figures = Figures.of(model)

    def layer_cost(work: Work, images: int) -> float:
        if not isinstance(work, SumWork):
            g = work.write.geometry
            return images * g.pixels * g.channels / model.array
        shape = Shape.of(work)
        return cost(shape, best_mapping(shape, figures, images), figures, images).total

    schedule = make_schedule(network, model, layer_cost)
    chosen = dict(mappings or {})
    for segment in schedule.segments:
        for work in network.work[segment.first : segment.end]:
            if isinstance(work, SumWork) and work.label not in chosen:
                images = work.write.geometry.images if segment.images is None else segment.images
                chosen[work.label] = best_mapping(Shape.of(work), figures, images)
    return Plan(schedule, chosen, model.accumulators)


def emit_program(network: Network, machine: Machine, plan: Plan, *, values: bool = True) -> Program:
    """The program of a plan. Without `values` its weight memory is empty, and it can only be timed."""
    return _Writer(network, machine, plan, values).run()


class _Writer:
    def __init__(self, network: Network, machine: Machine, plan: Plan, values: bool) -> None:
        self.network, self.machine, self.plan, self.values = network, machine, plan, values
        self.emitter = Emitter(machine, plan.schedule.addresses, WeightMemory(values=values), plan.accumulators)
        self.tags: dict[str, int] = {}
        self.host: dict[int, int] = {}

    def run(self) -> Program:
        inputs, outputs, size = self._host_tensors()
        schedule = self.plan.schedule
        pieces = set(schedule.twins)
        for index, (_, view) in enumerate(self.network.inputs):
            if view.tensor not in pieces:
                self._tag("input")
                emit_read(self.emitter, view, self.host[index], Slice())
        for segment in schedule.segments:
            self._segment(segment)
        for index, (_, view) in enumerate(self.network.outputs):
            self._tag("output")
            emit_write(self.emitter, view, self.host[len(self.network.inputs) + index])
        weights = self.emitter.weights
        if weights.end > self.machine.weight_memory_bytes:
            raise ModelError(
                f"weights and parameters take {weights.end:,} bytes; {self.machine} has weight memory for "
                f"{self.machine.weight_memory_bytes:,}"
            )
        builder = self.emitter.builder
        program = Program(
            builder.finish(), weights.image(), self.machine.array, tuple(builder.tags), size, inputs, outputs
        )
        return replace(program, instructions=insert_synchronization(program.instructions, self.machine))

    def _host_tensors(self) -> tuple[dict[str, HostTensor], dict[str, HostTensor], int]:
        end = 0
        found: list[dict[str, HostTensor]] = [{}, {}]
        number = 0
        for made, values in zip(found, (self.network.inputs, self.network.outputs), strict=True):
            for index, (value, _) in enumerate(values):
                tensor = HostTensor(end, value.type.static_shape, value.type.dtype.numpy.name)
                made[f"{'x' if made is found[0] else 'y'}{index}"] = tensor
                self.host[number] = end
                end = aligned(end + tensor.bytes)
                number += 1
        return found[0], found[1], end

    def _segment(self, segment: Segment) -> None:
        works = self.network.work[segment.first : segment.end]
        if segment.images is None:
            for work in works:
                self._emit(work, Slice())
            return
        images = self.network.images
        assert images is not None
        schedule = self.plan.schedule
        parts = [
            Slice(first, min(segment.images, images - first), schedule.whole)
            for first in range(0, images, segment.images)
        ]
        read = {v.tensor for w in works for v in w.reads}
        mine = [
            (i, v) for i, (_, v) in enumerate(self.network.inputs) if v.tensor in schedule.twins and v.tensor in read
        ]
        self._read(mine, parts[0], 0)
        for number, part in enumerate(parts):
            if number + 1 < len(parts):
                self._read(mine, parts[number + 1], number + 1)
            self._turn(number)
            for work in works:
                self._emit(work, part)

    def _turn(self, number: int) -> None:
        """Let inputs that have two places stand in that of this round."""
        schedule = self.plan.schedule
        addresses = dict(schedule.addresses)
        if number % 2:
            addresses.update({t: schedule.addresses[twin] for t, twin in schedule.twins.items()})
        self.emitter.addresses = addresses

    def _read(self, inputs: list[tuple[int, View]], part: Slice, number: int) -> None:
        self._turn(number)
        for index, view in inputs:
            self._tag("input")
            emit_read(self.emitter, view, self.host[index], part)

    def _tag(self, label: str) -> None:
        builder = self.emitter.builder
        if label in self.tags:
            builder.append(Opcode.DBG, extension=self.tags[label])
        else:
            self.tags[label] = len(builder.tags)
            builder.tag(label)

    def _emit(self, work: Work, part: Slice) -> None:
        self._tag(work.label)
        if isinstance(work, SumWork):
            emit_sum(self.emitter, work, self.plan.mappings[work.label], part)
        elif isinstance(work, ElementwiseWork):
            emit_elementwise(self.emitter, work, part)
        else:
            assert isinstance(work, PoolWork)
            emit_pool(self.emitter, work, part)
