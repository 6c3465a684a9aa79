"""Which images are computed at a time: all of them, or, where they do not fit, a few from one layer to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nascompiler.backends.tpu.compiler.allocation import Life, allocate
from nascompiler.backends.tpu.compiler.tensors import Tensor
from nascompiler.backends.tpu.compiler.work import Network, Work
from nascompiler.backends.tpu.machine import Machine
from nascompiler.ir.errors import ModelError

LayerCost = Callable[[Work, int], float]
"""About how many cycles a step takes for so many images."""


@dataclass(frozen=True)
class Segment:
    """Steps `first` to `end` - 1, computed for `images` at a time; None: for all that there are."""

    first: int
    end: int
    images: int | None


@dataclass(frozen=True)
class Schedule:
    """The segments, where tensors stand, and which of them hold all images.

    An input that is read piece by piece has a second place, in `twins`: one is read while the other is computed with.
    """

    segments: tuple[Segment, ...]
    addresses: Mapping[Tensor, int]
    whole: frozenset[Tensor]
    twins: Mapping[Tensor, Tensor]


def make_schedule(network: Network, machine: Machine, layer_cost: LayerCost) -> Schedule:
    """A schedule that fits the Unified Buffer; raises ModelError naming the layer that cannot."""
    uses = _Uses(network)
    everything = Segment(0, len(network.work), None)
    found = _placed(uses, [everything], machine)
    if found is not None:
        return found
    images = network.images
    if images is None or images == 1:
        raise _does_not_fit(uses, machine, "it is computed for one image at a time" if images == 1 else _MIXED)
    for share in (1.0, 0.9, 0.8, 0.65, 0.5):  # memory is lost between tensors: plan with less, the more it takes
        segments = _Splitter(uses, images, int(machine.unified_buffer_bytes * share), layer_cost).run()
        found = None if segments is None else _placed(uses, segments, machine)
        if found is not None:
            return found
    raise _does_not_fit(uses, machine, "even one image at a time")


_MIXED = "its tensors count images in different ways, so that the batch cannot be split"


class _Uses:
    """When the tensors of a network are first and last used, by the numbers of steps."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.inputs = [view.tensor for _, view in network.inputs]
        self.outputs = {view.tensor for _, view in network.outputs}
        self.first: dict[Tensor, int] = {}
        self.last: dict[Tensor, int] = {}
        for number, work in enumerate(network.work):
            for view in work.views:
                self.first.setdefault(view.tensor, number)
                self.last[view.tensor] = number
        for tensor in (*self.inputs, *self.outputs):
            self.first.setdefault(tensor, 0)
            self.last.setdefault(tensor, 0)
        for tensor in self.outputs:
            self.last[tensor] = len(network.work)
        self.is_input = set(self.inputs)


def _placed(uses: _Uses, segments: Sequence[Segment], machine: Machine) -> Schedule | None:
    lives, whole, twins = [], [], {}
    count = len(uses.network.work)
    for tensor, first in uses.first.items():
        last = uses.last[tensor]
        here = next((s for s in segments if s.first <= first < s.end), segments[0])
        there = next((s for s in segments if s.first <= last < s.end), None)
        if here is there and here.images is not None and tensor not in uses.outputs:
            lives.append(Life(tensor, tensor.image_bytes * here.images, first, last))
            if tensor in uses.is_input:
                lives[-1] = Life(tensor, tensor.image_bytes * here.images, here.first, here.end - 1)
                twins[tensor] = Tensor(tensor.name, tensor.images, tensor.image_bytes)
                lives.append(Life(twins[tensor], tensor.image_bytes * here.images, here.first, here.end - 1))
            continue
        if tensor in uses.is_input:
            first = 0
        if here.images is not None or (there is not None and there.images is not None):
            whole.append(tensor)
        first = here.first if here.images is not None else first
        last = count if there is None else there.end - 1 if there.images is not None else last
        lives.append(Life(tensor, tensor.image_bytes * tensor.images, first, last))
    addresses = allocate(lives, machine.unified_buffer_bytes, machine.array)
    if addresses is None:
        return None
    return Schedule(tuple(segments), addresses, frozenset(whole), twins)


class _Splitter:
    """Finds the segments of least cost by dynamic programming over where they may end."""

    def __init__(self, uses: _Uses, images: int, capacity: int, layer_cost: LayerCost) -> None:
        self.uses, self.images, self.capacity, self.layer_cost = uses, images, capacity, layer_cost
        self.work = uses.network.work

    def run(self) -> list[Segment] | None:
        count = len(self.work)
        crossing = [self._crossing(at) for at in range(count + 1)]
        ends = [at for at in range(count + 1) if sum(t.image_bytes for t in crossing[at]) * self.images < self.capacity]
        if not ends or ends[0] != 0 or ends[-1] != count:
            return None
        best: dict[int, tuple[float, list[Segment]]] = {0: (0.0, [])}
        for end in ends[1:]:
            options = []
            for first in ends:
                if first < end and first in best:
                    segment = self._segment(first, end, crossing[first], crossing[end])
                    if segment is not None:
                        cost, before = best[first]
                        options.append((cost + self._cost(segment), [*before, segment]))
            if options:
                best[end] = min(options, key=lambda option: option[0])
        return best[count][1] if count in best else None

    def _crossing(self, at: int) -> set[Tensor]:
        """Tensors that must be there, with all images, between step `at` - 1 and step `at`."""
        uses = self.uses
        return {
            t
            for t, first in uses.first.items()
            if (first < at or (t in uses.outputs and at == len(self.work))) and uses.last[t] >= at
        }

    def _segment(self, first: int, end: int, before: set[Tensor], after: set[Tensor]) -> Segment | None:
        """The steps with as many images at a time as fit."""
        uses = self.uses
        kept = sum(t.image_bytes for t in before | after) * self.images
        need = [0] * (end - first)
        for tensor, begin in uses.first.items():
            last = uses.last[tensor]
            if first <= begin and last < end and begin < end and tensor not in before | after:
                is_input = tensor in uses.is_input
                steps = range(end - first) if is_input else range(begin - first, last - first + 1)
                for step in steps:
                    need[step] += tensor.image_bytes * (2 if is_input else 1)
        most = max(need, default=0)
        fit = self.images if most == 0 else min(self.images, (self.capacity - kept) // most)
        if fit < 1 or kept > self.capacity:
            return None
        rounds = -(-self.images // fit)
        return Segment(first, end, -(-self.images // rounds))

    def _cost(self, segment: Segment) -> float:
        assert segment.images is not None
        rounds = -(-self.images // segment.images)
        steps = self.work[segment.first : segment.end]
        return rounds * sum(self.layer_cost(work, segment.images) for work in steps)


def _does_not_fit(uses: _Uses, machine: Machine, why: str) -> ModelError:
    """The error that names the step at which most memory is in use."""
    single = uses.network.images is not None
    need = []
    for number in range(len(uses.network.work)):
        alive = [t for t, first in uses.first.items() if first <= number <= uses.last[t]]
        need.append(sum(t.image_bytes * (1 if single else t.images) for t in alive))
    worst = max(range(len(need)), key=need.__getitem__)
    work = uses.network.work[worst]
    megabytes = -(-max(need[worst], machine.unified_buffer_bytes + 1) // 2**20)
    return ModelError(
        f"{work.label} ({work.node.op.name}) cannot be computed on {machine}: with what else is needed then, its "
        f"operands and results take {need[worst]:,} bytes, and the Unified Buffer has {machine.unified_buffer_bytes:,} "
        f"({why}); accepted: smaller images, or a machine such as {machine.name}{{unified-buffer={megabytes * 2}MiB}}"
    )
