"""What a piece of code executed and found in the caches, as the emulator's plugin writes it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nascompiler.backends.errors import DeviceError


@dataclass(frozen=True)
class Misses:
    """Lines that came from a level of the memory, those that no prefetcher foresees and those of streams."""

    at_random: int
    in_streams: int


@dataclass(frozen=True)
class Profile:
    """Instructions by address and how often each was executed; lines by the level that they came from.

    `levels` are cache level 2, then 3 where there is one, and memory.
    """

    words: Mapping[int, int]
    counts: Mapping[int, int]
    levels: tuple[Misses, ...]
    instructions: int
    accesses: int


def read_profiles(path: Path) -> Iterator[Profile]:
    """The profiles in a file, in the order in which they were taken; raises DeviceError for a file that is broken."""
    words: dict[int, int] = {}
    counts: Counter[int] = Counter()
    levels: list[Misses] = []
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            kind, *fields = line.split()
            if kind == "B":
                address, count = int(fields[0], 16), int(fields[1])
                for place, word in enumerate(fields[2:]):
                    words[address + 4 * place] = int(word, 16)
                    counts[address + 4 * place] += count
            elif kind == "L":
                levels.append(Misses(int(fields[1]), int(fields[2])))
            else:
                instructions, accesses = map(int, fields)
                yield Profile(words, counts, tuple(levels), instructions, accesses)
                words, counts, levels = {}, Counter(), []
    except (OSError, ValueError, IndexError) as error:
        raise DeviceError(f"the emulator's plugin left no profile that can be read: {error}") from None
