"""Basic blocks of code for aarch64, from what was executed of it."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.backends.arm.estimate.profile import Profile


@dataclass(frozen=True)
class Block:
    """Instructions that are always executed one after the other, how often, and where control goes in the end.

    `back` says that it ends with a branch backwards: with it a loop goes on; `exits` counts how often it was not taken.
    """

    words: tuple[int, ...]
    count: int
    back: bool = False
    exits: int = 0


def basic_blocks(profile: Profile) -> list[Block]:
    """The blocks of a profile in the order of their addresses."""
    words, counts = profile.words, profile.counts
    targets = {target for address, word in words.items() if (target := branch_target(address, word)) is not None}
    runs: list[list[int]] = []
    for address in sorted(words):
        previous = runs[-1][-1] if runs else None
        if (
            previous != address - 4
            or is_branch(words[previous])
            or address in targets
            or counts[address] != counts[previous]
        ):
            runs.append([])
        runs[-1].append(address)
    return [_block(profile, run) for run in runs]


def _block(profile: Profile, addresses: list[int]) -> Block:
    last = addresses[-1]
    count = profile.counts[addresses[0]]
    words = tuple(profile.words[address] for address in addresses)
    target = branch_target(last, words[-1])
    if target is None or target > last or target not in profile.words or not _is_conditional(words[-1]):
        return Block(words, count)
    return Block(words, count, True, min(count, profile.counts.get(last + 4, 0)))


def is_branch(word: int) -> bool:
    """Whether an instruction may go elsewhere: b, bl, b.cond, cbz, cbnz, tbz, tbnz, br, blr, ret."""
    return (
        word & 0x7C000000 == 0x14000000
        or word & 0xFF000010 == 0x54000000
        or word & 0x7E000000 in (0x34000000, 0x36000000)
        or word & 0xFE000000 == 0xD6000000
    )


def branch_target(address: int, word: int) -> int | None:
    """Where a branch goes to, if the instruction says so."""
    if word & 0x7C000000 == 0x14000000:
        return address + 4 * _signed(word, 26)
    if word & 0xFF000010 == 0x54000000 or word & 0x7E000000 == 0x34000000:
        return address + 4 * _signed(word >> 5, 19)
    if word & 0x7E000000 == 0x36000000:
        return address + 4 * _signed(word >> 5, 14)
    return None


def _is_conditional(word: int) -> bool:
    return word & 0x7C000000 != 0x14000000


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
