from __future__ import annotations

from nascompiler.backends.arm.estimate.blocks import Block, basic_blocks, branch_target, is_branch
from nascompiler.backends.arm.estimate.profile import Profile

NOP, RET, B_NE, CBZ, TBNZ, BL = 0xD503201F, 0xD65F03C0, 0x54000001, 0xB4000000, 0x37000000, 0x94000000


def profile(pieces: dict[int, tuple[int, list[int]]]) -> Profile:
    """By address, how often the code there was executed, and its words."""
    words = {a + 4 * i: word for a, (_, code) in pieces.items() for i, word in enumerate(code)}
    counts = {a + 4 * i: count for a, (count, code) in pieces.items() for i in range(len(code))}
    return Profile(words, counts, (), 0, 0)


def backwards(word: int, instructions: int, shift: int, bits: int) -> int:
    return word | ((-instructions) & ((1 << bits) - 1)) << shift


def test_where_branches_go():
    assert branch_target(0x1000, backwards(B_NE, 4, 5, 19)) == 0x1000 - 16
    assert branch_target(0x1000, CBZ | 3 << 5) == 0x100C
    assert branch_target(0x1000, TBNZ | 2 << 5) == 0x1008
    assert branch_target(0x1000, backwards(BL, 1, 0, 26)) == 0x0FFC
    assert [branch_target(0x1000, word) for word in (RET, NOP)] == [None, None]
    assert [is_branch(word) for word in (RET, NOP)] == [True, False]


def test_a_loop_is_one_block_that_knows_its_exits():
    loop = [NOP, NOP, backwards(B_NE, 2, 5, 19)]
    found = basic_blocks(profile({0x100: (2, [NOP]), 0x104: (200, loop), 0x110: (2, [RET])}))
    assert found == [Block((NOP,), 2), Block(tuple(loop), 200, True, 2), Block((RET,), 2)]


def test_code_is_cut_where_a_branch_goes_to():
    jump = CBZ | 2 << 5  # over the next instruction
    found = basic_blocks(profile({0x100: (5, [jump, NOP, NOP, RET])}))
    assert [block.words for block in found] == [(jump,), (NOP,), (NOP, RET)]


def test_code_is_cut_where_addresses_do_not_follow_each_other():
    found = basic_blocks(profile({0x100: (1, [NOP]), 0x200: (1, [NOP])}))
    assert [block.words for block in found] == [(NOP,), (NOP,)]
