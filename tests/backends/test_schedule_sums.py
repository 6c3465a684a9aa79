"""Tiles of accumulators divide what they cover and fit the registers."""

from __future__ import annotations

import pytest

from nascompiler.backends.target import Isa
from nascompiler.backends.tvm_adapter.schedule_sums import MOST_PIXELS, MOST_VECTORS, choose_tile, divisors

ISAS = {
    "avx512": Isa("avx512", "x86_64", 16, 26, "skylake-avx512", frozenset()),
    "avx2": Isa("avx2", "x86_64", 8, 12, "haswell", frozenset()),
    "sse2": Isa("sse2", "x86_64", 4, 12, "x86-64", frozenset()),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("pixels", [1, 7, 13, 14, 56, 112])
@pytest.mark.parametrize("channels", [4, 16, 24, 40, 72, 112, 184, 960, 1000])
def test_tiles_divide_and_fit(isa, pixels, channels):
    tile = choose_tile(pixels, channels, ISAS[isa])
    assert pixels % tile.pixels == 0
    assert channels % tile.channels == 0
    assert tile.pixels <= MOST_PIXELS
    assert tile.vectors <= MOST_VECTORS
    assert tile.lanes <= ISAS[isa].lanes
    assert tile.pixels * tile.vectors <= ISAS[isa].accumulators


def test_odd_channels_get_no_vectors():
    assert choose_tile(56, 13, ISAS["avx512"]) is None
    assert choose_tile(56, 62, ISAS["avx512"]) is None


def test_known_choices():
    tile = choose_tile(56, 64, ISAS["avx512"])
    assert (tile.pixels, tile.vectors, tile.lanes) == (8, 2, 16)
    assert divisors(56, 8) == [1, 2, 4, 7, 8]
