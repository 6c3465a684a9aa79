"""Arrays that are needed at the same time never share memory, and others do."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.tvm_adapter.arena import Need, plan


def test_a_chain_takes_what_its_two_largest_neighbours_take() -> None:
    needs = [Need(bytes, i, i + 1) for i, bytes in enumerate((64, 640, 128, 640, 64))]
    offsets, size = plan(needs)
    assert size == 640 + 128
    assert offsets[1] == offsets[3]


def test_nothing() -> None:
    assert plan([]) == ([], 0)


@pytest.mark.parametrize("seed", range(20))
def test_arrays_that_meet_are_apart(seed: int) -> None:
    generator = np.random.default_rng(seed)
    firsts = generator.integers(0, 40, 60)
    needs = [
        Need(int(generator.integers(0, 5000)), int(first), int(first + generator.integers(0, 9))) for first in firsts
    ]
    offsets, size = plan(needs)
    for i, (need, start) in enumerate(zip(needs, offsets, strict=True)):
        assert start % 64 == 0
        assert start + need.bytes <= size
        for other, begin in zip(needs[:i], offsets[:i], strict=True):
            assert not need.meets(other) or start + need.bytes <= begin or begin + other.bytes <= start
    peak = max(sum(need.bytes for need in needs if need.first <= step <= need.last) for step in range(50))
    assert peak <= size <= 2 * peak
