"""What a network takes with fewer channels, found without lowering each variant of it.

The network is lowered once as it is, and once or a few times with other numbers of channels in every group: how the
sizes in its kernel calls change with these tells which groups they count. From then on the calls of any variant are
known, and a variant costs as much as looking up the few calls that differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.predict import timed_calls
from nascompiler.ir import Graph
from nascompiler.ir.attributes import Attribute
from nascompiler.ir.channel_edit import with_channel_counts
from nascompiler.ir.channels import ChannelStructure
from nascompiler.ir.types import TensorType
from nascompiler.search.interfaces import Counts

Lower = Callable[[Graph], Graph]
MOST_PROBES = 4

UNITS = (-1, 16, 64)
"""Numbers of channels that probes differ by, tried one after the other: a few less, or multiples of what kernels like,
until the same kernels are taken."""

_Terms = tuple[tuple[int, int], ...]
"""What a size is the sum of: (group, times)."""


@dataclass(frozen=True)
class _Place:
    """A size in a call that depends on channels: `part` is an operand, a result or an attribute, `entry` which of its
    sizes (None: the attribute itself)."""

    part: str
    name: int | str
    entry: int | None
    terms: _Terms
    constant: int


class NarrowedCalls:
    """The kernel calls of a network as functions of its numbers of channels; `unit` is that of the probes."""

    def __init__(
        self, lengths: Sequence[int], calls: Sequence[KernelCall], places: Sequence[Sequence[_Place]], unit: int = 0
    ) -> None:
        self._lengths, self.calls, self._places, self.unit = lengths, calls, places, unit
        self._uses: dict[int, list[int]] = {}
        for index, found in enumerate(places):
            for group in {group for place in found for group, _ in place.terms}:
                self._uses.setdefault(group, []).append(index)

    def changed(self, counts: Counts) -> dict[int, KernelCall]:
        """The calls that differ with these numbers of channels, by their index in `calls`."""
        indices = sorted({index for group in counts for index in self._uses.get(group, ())})
        return {index: self._narrowed(index, counts) for index in indices}

    def _narrowed(self, index: int, counts: Counts) -> KernelCall:
        call = self.calls[index]
        operands, results, attributes = list(call.operands), list(call.results), dict(call.attributes)
        for place in self._places[index]:
            size = place.constant + sum(counts.get(g, self._lengths[g]) * times for g, times in place.terms)
            if place.part == "attribute":
                assert isinstance(place.name, str)
                attributes[place.name] = _with_entry(attributes[place.name], place.entry, size)
                continue
            types = operands if place.part == "operand" else results
            assert isinstance(place.name, int)
            assert place.entry is not None
            types[place.name] = _with_size(types[place.name], place.entry, size)
        return KernelCall(call.op, tuple(attributes.items()), tuple(operands), tuple(results), call.constants)


class PredictedNarrowing:
    """Latencies of a network with fewer channels, as sums of its calls; `times` gives those of calls in ns by key, and
    `start_ns`, asked when these are known, what its program takes beside them."""

    def __init__(
        self,
        calls: NarrowedCalls,
        times: Callable[[Mapping[str, KernelCall]], Mapping[str, float]],
        start_ns: Callable[[], float],
    ) -> None:
        self._calls, self._times, self._start_ns = calls, times, start_ns
        self._keys = [call.key for call in calls.calls]

    def amounts(self, variants: Sequence[Counts]) -> list[float]:
        """One for each variant; whatever is not known of their calls is asked for at once."""
        changed = [self._calls.changed(counts) for counts in variants]
        keys = [{index: call.key for index, call in calls.items()} for calls in changed]
        wanted = dict(zip(self._keys, self._calls.calls, strict=True))
        for named, calls in zip(keys, changed, strict=True):
            wanted.update((named[index], call) for index, call in calls.items())
        times = self._times(wanted)
        base = [times.get(key, 0.0) for key in self._keys]
        total = sum(base) + self._start_ns()
        return [total + sum(times.get(key, 0.0) - base[index] for index, key in named.items()) for named in keys]


def narrowed_calls(structure: ChannelStructure, lower: Lower, units: Sequence[int] = UNITS) -> NarrowedCalls | None:
    """The calls of the structure's graph; None where what it is lowered to depends on channels in other ways."""
    base = _calls(lower(structure.graph))
    for unit in units:
        found = _probed(structure, lower, base, unit)
        if found is not None:
            return found
    return None


def _probed(structure: ChannelStructure, lower: Lower, base: Sequence[KernelCall], unit: int) -> NarrowedCalls | None:
    """What probes in which groups have some units more (or less) tell; None where they lead to other calls."""
    lengths = [group.length for group in structure.groups]
    codes = _codes(structure, unit)
    probes = []
    for number in range(max((len(code) for code in codes.values()), default=0)):
        counts = {g: lengths[g] + code[number] for g, code in codes.items() if code[number]}
        probes.append(_calls(lower(with_channel_counts(structure, counts))))
        if [call.op for call in probes[-1]] != [call.op for call in base]:
            return None
    known = _Known(structure, lengths, codes, len(probes))
    places: list[list[_Place]] = []
    for index, call in enumerate(base):
        found = list(_places(call, [probe[index] for probe in probes], known))
        if any(place is None for place in found):
            return None
        places.append([place for place in found if place is not None])
    return NarrowedCalls(lengths, base, places, unit)


def _calls(graph: Graph) -> list[KernelCall]:
    timed = {node for nodes in timed_calls(graph).values() for node in nodes}
    return [KernelCall.of(node) for node in graph.nodes if node in timed]


def _codes(structure: ChannelStructure, unit: int) -> dict[int, tuple[int, ...]]:
    """By how many channels each group differs in each probe: groups of one size by different numbers of units."""
    alike: dict[int, list[int]] = {}
    for group in structure.free_groups:
        if group.length > 2:
            alike.setdefault(group.length, []).append(group.index)
    # Of each probe 0 to at most 7 units; where channels are lost, two stay.
    digits = {length: 8 if unit > 0 else min(length - 1, 8) for length in alike}
    probes = 1
    while probes < MOST_PROBES and any(digits[n] ** probes <= len(groups) for n, groups in alike.items()):
        probes += 1
    codes = {}
    for length, groups in alike.items():
        for number, index in enumerate(groups, 1):
            code = tuple(unit * (number // digits[length] ** k % digits[length]) for k in range(probes))
            if any(code):
                codes[index] = code
    return codes


class _Known:
    """Which sums of channels a size can be, by how it changes from probe to probe."""

    def __init__(
        self,
        structure: ChannelStructure,
        lengths: Sequence[int],
        codes: Mapping[int, tuple[int, ...]],
        probes: int,
    ) -> None:
        self._found: dict[tuple[int, ...], _Terms | None] = {}
        for pattern in {segments for axes in structure.axes.values() for segments in axes.values()}:
            times: Counter[int] = Counter()
            for segment in pattern:
                times[segment.group] += segment.repeat
            terms = tuple(sorted((g, n) for g, n in times.items() if g in codes))
            fixed = sum(lengths[g] * n for g, n in times.items() if g not in codes)
            sizes = [
                fixed + sum((lengths[g] + (codes[g][k] if k >= 0 else 0)) * n for g, n in terms)
                for k in range(-1, probes)
            ]
            key = tuple(sizes)
            if len(set(key)) > 1:
                self._found[key] = terms if self._found.get(key, terms) == terms else None
        self._lengths = lengths

    def place(self, part: str, name: int | str, entry: int | None, sizes: tuple[int, ...]) -> _Place | None:
        terms = self._found.get(sizes)
        if terms is None:
            return None
        constant = sizes[0] - sum(self._lengths[g] * n for g, n in terms)
        return _Place(part, name, entry, terms, constant)


def _places(call: KernelCall, probes: Sequence[KernelCall], known: _Known) -> Iterator[_Place | None]:
    """The sizes of a call that change from probe to probe; None among them for one that cannot be told."""
    for part, read in (("operand", _operands), ("result", _results)):
        types = [read(each) for each in (call, *probes)]
        if len({len(found) for found in types}) > 1:
            yield None
            return
        for name, versions in enumerate(zip(*types, strict=True)):
            yield from _sizes(part, name, [version.shape or () for version in versions], known)
    attributes = [dict(each.attributes) for each in (call, *probes)]
    for key, value in attributes[0].items():
        values = [each.get(key) for each in attributes]
        if all(other == value for other in values):
            continue
        if all(isinstance(each, tuple) for each in values):
            yield from _sizes("attribute", key, values, known)
        elif all(isinstance(each, int) for each in values):
            yield known.place("attribute", key, None, tuple(values))  # type: ignore[arg-type]
        else:
            yield None


def _sizes(part: str, name: int | str, shapes: Sequence[object], known: _Known) -> Iterator[_Place | None]:
    versions = [shape for shape in shapes if isinstance(shape, tuple)]
    if len({len(shape) for shape in versions}) != 1:
        yield None
        return
    for entry, sizes in enumerate(zip(*versions, strict=True)):
        if len(set(sizes)) > 1:
            yield known.place(part, name, entry, sizes)


def _operands(call: KernelCall) -> tuple[TensorType, ...]:
    return call.operands


def _results(call: KernelCall) -> tuple[TensorType, ...]:
    return call.results


def _with_entry(value: Attribute, entry: int | None, size: int) -> Attribute:
    if entry is None:
        return size
    assert isinstance(value, tuple)
    return (*value[:entry], size, *value[entry + 1 :])


def _with_size(type: TensorType, axis: int, size: int) -> TensorType:
    shape = list(type.shape or ())
    shape[axis] = size
    return replace(type, shape=tuple(shape))
