"""How convolutions are cut: every pixel and channel is covered, and only as often as intended."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.packing import pack_convolution
from nascompiler.backends.cpu.tiling import Window, choose_tile, columns, lane_pieces, panels
from nascompiler.backends.target import Isa

AVX512 = Isa("avx512", "x86_64", 16, 26, "", frozenset())
AVX2 = Isa("avx2", "x86_64", 8, 12, "", frozenset())


def pointwise(pixels: int, features: int, channels: int = 8) -> Window:
    one = (1, 1)
    return Window(1, (1, pixels), channels, one, one, (0, 0, 0, 0), one, 1, (1, pixels), features)


def row(width: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Window:
    output = (width + 2 * padding - (dilation * (kernel - 1) + 1)) // stride + 1
    sides = (0, padding, 0, padding)
    return Window(1, (1, width), 8, (1, kernel), (1, stride), sides, (1, dilation), 1, (1, output), 8)


@pytest.mark.parametrize("count", range(50))
def test_lane_pieces_add_up_and_shrink(count):
    pieces = lane_pieces(count, 16)
    assert sum(pieces) == count
    assert list(pieces) == sorted(pieces, reverse=True)
    assert set(pieces) <= {1, 2, 4, 8, 16}


@pytest.mark.parametrize("channels", [1, 15, 16, 24, 33, 112, 960])
def test_panels_cover_every_channel_once(channels):
    covered = []
    for panel in panels(channels, 3, AVX512):
        for block in range(panel.repeats):
            start = panel.start + block * panel.width
            covered += range(start, start + panel.width)
    assert covered == list(range(channels))


@pytest.mark.parametrize("width", [1, 3, 7, 13])
@pytest.mark.parametrize("window", [row(13, 3, 1, 1), row(29, 5, 2, 2), row(40, 3, 1, 4, 2), row(14, 1, 1, 0)], ids=str)
def test_columns_cover_every_pixel_with_the_taps_that_meet_the_image(window, width):
    seen = set()
    for part in columns(window, width):
        assert part.width == width
        for index in range(part.repeats):
            start = min(part.start + index * part.width, part.last)
            assert 0 <= start <= window.output[1] - width
            for offset, taps in enumerate(part.taps):
                place = (start + offset) * window.strides[1] - window.padding[1]
                inside = [k for k in range(window.kernel[1]) if 0 <= place + k * window.dilation[1] < window.size[1]]
                assert list(taps) == inside
                seen.add(start + offset)
    assert seen == set(range(window.output[1]))


@pytest.mark.parametrize("isa", [AVX512, AVX2], ids=lambda isa: isa.name)
@pytest.mark.parametrize("pixels", [1, 7, 49, 196, 12544])
@pytest.mark.parametrize("features", [1, 16, 24, 64, 80, 960])
def test_a_tile_fits_the_registers_and_the_work(isa, pixels, features):
    tile = choose_tile(pointwise(pixels, features), isa)
    assert 1 <= tile.columns <= pixels
    assert tile.columns * tile.vectors <= isa.accumulators
    assert (tile.vectors - 1) * isa.lanes < features


def test_packed_weights_are_read_from_front_to_back():
    weight = np.arange(2 * 3 * 4 * 20, dtype=np.float32).reshape(2, 3, 4, 20)
    cut = panels(20, 1, AVX512)
    packed = pack_convolution(weight, 1, cut)
    expected = [
        weight[y, x, i, c]
        for start, width in ((0, 16), (16, 4))
        for y in range(2)
        for x in range(3)
        for i in range(4)
        for c in range(start, start + width)
    ]
    np.testing.assert_array_equal(packed, expected)
    grouped = pack_convolution(weight, 2, panels(10, 1, AVX512))
    np.testing.assert_array_equal(grouped[:8], weight[0, 0, 0, :8])
    assert grouped.size == weight.size
