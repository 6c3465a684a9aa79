"""Spans of channels that can be cut and merged: union-find over intervals.

A pattern says what stands along a dimension: (span, repeat) after (span, repeat), where each channel of the span takes
`repeat` consecutive positions. The same span may occur several times. A span that was cut or merged points at the
pattern that took its place; `resolve` follows these pointers, whose depth is logarithmic in the number of spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MOST_REASONS = 8
"""Of more reasons than this why a span is frozen, the first ones are kept."""


class Misaligned(Exception):
    """A cut, or two patterns, that would divide single channels."""


class Span:
    """Consecutive channels that so far nothing has told apart."""

    __slots__ = ("frozen", "length", "parts", "weight")

    def __init__(self, length: int) -> None:
        self.length = length
        self.parts: Pattern | None = None
        self.weight = 1
        self.frozen: list[str] = []

    def freeze(self, reasons: Iterable[str]) -> None:
        for reason in reasons:
            if len(self.frozen) < MOST_REASONS and reason not in self.frozen:
                self.frozen.append(reason)

    def cut(self, length: int) -> None:
        """Replace the span by one of its first `length` channels and one of the rest."""
        head, tail = Span(length), Span(self.length - length)
        head.freeze(self.frozen)
        tail.freeze(self.frozen)
        self.parts = ((head, 1), (tail, 1))

    def forward(self, other: Span, repeat: int) -> None:
        """Let each channel of `other`, repeated so often, stand for this span's channels from now on."""
        other.freeze(self.frozen)
        other.weight += self.weight
        self.parts = ((other, repeat),)


Pattern = tuple[tuple[Span, int], ...]
EMPTY: Pattern = ()


def fresh(length: int, *frozen: str) -> Pattern:
    """The pattern of a new span, frozen for the given reasons if there are any."""
    if length == 0:
        return EMPTY
    span = Span(length)
    span.freeze(frozen)
    return ((span, 1),)


def size(pattern: Pattern) -> int:
    """Number of positions."""
    return sum(span.length * repeat for span, repeat in pattern)


def resolve(pattern: Pattern) -> Pattern:
    """The pattern in terms of spans that still stand for themselves."""
    if all(span.parts is None for span, _ in pattern):
        return pattern
    resolved: list[tuple[Span, int]] = []
    for span, repeat in pattern:
        if span.parts is not None:
            span.parts = _leaves(span.parts)  # the next look-up is short
            resolved.extend((leaf, inner * repeat) for leaf, inner in span.parts)
        else:
            resolved.append((span, repeat))
    return tuple(resolved)


def _leaves(pattern: Pattern) -> Pattern:
    leaves: list[tuple[Span, int]] = []
    pending = list(reversed(pattern))
    while pending:
        span, repeat = pending.pop()
        if span.parts is None:
            leaves.append((span, repeat))
        else:
            pending.extend((part, inner * repeat) for part, inner in reversed(span.parts))
    return tuple(leaves)


def freeze(pattern: Pattern, reason: str) -> None:
    for span, _ in resolve(pattern):
        span.freeze((reason,))


def repeated(pattern: Pattern, count: int) -> Pattern:
    """Every position `count` times in a row."""
    return pattern if count == 1 else tuple((span, repeat * count) for span, repeat in pattern)


def divide(pattern: Pattern, sizes: Sequence[int]) -> list[Pattern]:
    """Consecutive parts of the given sizes, spans cut where necessary; raises Misaligned where a channel would be."""
    pending = list(reversed(resolve(pattern)))
    parts = []
    for wanted in sizes:
        part: list[tuple[Span, int]] = []
        missing = wanted
        while missing:
            span, repeat = pending.pop()
            if span.parts is None and span.length * repeat > missing:
                if missing % repeat:
                    raise Misaligned
                span.cut(missing // repeat)
            if span.parts is not None:
                pending.extend(reversed(resolve(((span, repeat),))))
                continue
            part.append((span, repeat))
            missing -= span.length * repeat
        parts.append(tuple(part))
    return [resolve(part) for part in parts]  # a later cut may have divided an earlier part


def unify(a: Pattern, b: Pattern) -> None:
    """Let two patterns of one size be the same from now on; raises Misaligned where their repeats do not divide."""
    left, right = list(reversed(resolve(a))), list(reversed(resolve(b)))
    while left and right:
        (one, i), (other, j) = left.pop(), right.pop()
        if one.parts is None and other.parts is None:
            length = min(one.length * i, other.length * j)
            _cut_to(one, i, length)
            _cut_to(other, j, length)
        if one.parts is None and other.parts is None:
            _merge(one, i, other, j)
        else:
            left.extend(reversed(resolve(((one, i),))))
            right.extend(reversed(resolve(((other, j),))))
    if left or right:
        raise Misaligned


def _cut_to(span: Span, repeat: int, positions: int) -> None:
    """Cut a span that takes more positions."""
    if span.parts is None and span.length * repeat > positions:
        if positions % repeat:
            raise Misaligned
        span.cut(positions // repeat)


def _merge(one: Span, i: int, other: Span, j: int) -> None:
    """Unify two spans that take equally many positions."""
    if one is other:
        return
    if i == j:
        small, large = (one, other) if one.weight < other.weight else (other, one)
        small.forward(large, 1)
    elif i % j == 0:
        other.forward(one, i // j)
    elif j % i == 0:
        one.forward(other, j // i)
    else:
        raise Misaligned


def tiles(pattern: Pattern, count: int) -> Pattern | None:
    """The part that the pattern consists of `count` times, or None when it does not; nothing is cut."""
    resolved = resolve(pattern)
    if len(resolved) % count:
        return None
    length = len(resolved) // count
    part = resolved[:length]
    return part if part * count == resolved else None


def unrepeated(pattern: Pattern, count: int) -> Pattern | None:
    """The pattern whose every position, `count` times in a row, makes this one; None when there is none."""
    resolved = resolve(pattern)
    if any(repeat % count for _, repeat in resolved):
        return None
    return tuple((span, repeat // count) for span, repeat in resolved)
