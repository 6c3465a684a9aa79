"""Dense convolutions in slices of bytes, as exact as they say: on tile registers where there are any, or a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementation import Implementation
from nascompiler.backends.cpu.implementations.convolution import convolution
from nascompiler.backends.cpu.implementations.sliced_convolution import sliced_convolutions
from nascompiler.backends.cpu.slicing import is_sliced, window_slicing_gain
from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.host import detect_host
from nascompiler.backends.kernels.convolution_slices import ConvolutionSlices
from nascompiler.backends.kernels.emitter import Emitter
from nascompiler.backends.kernels.native import load
from nascompiler.backends.kernels.tiles import Tiles
from nascompiler.backends.target import parse_target
from tests.backends.cpu.test_candidates import Case, cases, check
from tests.backends.kernels.test_convolution import layer
from tests.backends.kernels.test_gemm_amx import ModelTiles, _amx, on_model

HAS_TILES = "amx_int8" in detect_host().features

pytestmark = pytest.mark.skipif(parse_target("cpu").isa.lanes != 16, reason="the code takes vectors of 64 bytes")


class OnModel(ConvolutionSlices):
    """The kernel with the model in the place of the instructions."""

    def tiles(self, e: Emitter) -> Tiles:
        return ModelTiles(e)


def _target() -> Any:
    return replace(parse_target("cpu"), isa=_amx())


def _window(case: Case) -> Window:
    x, weight, *_ = case.call.operands
    return Window.of_convolution(x, weight, case.call.result, dict(case.call.attributes))


def _on_tiles(made: Implementation) -> Implementation:
    """The same on the model where the processor has no tile registers."""
    return made if HAS_TILES else replace(made, kernel=on_model(made.kernel, OnModel))


GEOMETRIES = {
    "padded": ((1, 9, 20, 64), (3, 3), 32, {"padding": (1, 1, 1, 1), "activation": "relu"}),
    "odd channels, a batch": ((2, 6, 17, 40), (3, 3), 24, {"padding": (1, 1, 1, 1), "activation": "hard_swish"}),
    "strided": ((1, 19, 35, 96), (3, 3), 17, {"stride": 2, "padding": (0, 0, 1, 1)}),
    "strided rows are odd": ((1, 13, 33, 16), (5, 5), 48, {"stride": 2, "padding": (2, 2, 2, 2)}),
    "residual": ((1, 8, 8, 130), (3, 3), 130, {"padding": (1, 1, 1, 1), "residual": True}),
    "a line": ((1, 5, 24, 33), (1, 7), 20, {"padding": (0, 3, 0, 3)}),
    "windows that miss the image": ((1, 2, 5, 20), (3, 3), 16, {"padding": (4, 6, 4, 20)}),
    "pointwise with a stride": ((1, 15, 30, 72), (1, 1), 40, {"stride": 2}),
    "more taps than rows": ((1, 4, 11, 16), (7, 7), 16, {"padding": (3, 3, 3, 3)}),
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_reference_to_the_last_bits(geometry: str) -> None:
    x, kernel, features, how = GEOMETRIES[geometry]
    for case in cases(layer(x, kernel, features, **how)):
        (made,) = sliced_convolutions(case.call, _window(case), _target())
        check(case, _on_tiles(made))


def test_errors_are_relative_to_the_largest_number_of_a_patch() -> None:
    """Against exact sums: at most 2 ** -22 of it times the largest weight, for each term."""
    (case,) = cases(layer((1, 8, 32, 64), (3, 3), 32, padding=(1, 1, 1, 1)))
    sizes = np.logspace(-5, 5, 32, dtype=np.float32).reshape(1, 1, 32, 1)
    x = np.random.default_rng(0).standard_normal((1, 8, 32, 64)).astype(np.float32) * sizes
    weight, bias = (np.asarray(case.constants[i], np.float64) for i in (1, 2))
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    exact = np.einsum("nhwcij,ijco->nhwo", windows, weight) + bias
    (made,) = sliced_convolutions(case.call, _window(case), _target())
    made = _on_tiles(made)
    function = load([made.kernel])[made.kernel.symbol]
    bound = Bound(made, case.call, function, {**case.operands, 0: x}, case.constants)
    bound()
    error = np.abs(bound.results[0].reshape(exact.shape) - exact)
    for row in range(0, 8, 2):
        for column in (0, 16):
            patch = (0, slice(row, row + 2), slice(column, column + 16))
            largest = np.abs(padded[0, row : row + 4, column : column + 18]).max()
            limit = 2**-22 * (9 * 64) ** 0.5 * largest * np.abs(weight).max() + 2**-23 * np.abs(exact[patch])
            assert (error[patch] <= limit).all()


def test_results_do_not_depend_on_the_order_of_patches() -> None:
    """Where the last patches overlap those before, each result is of one of them: threads take them in any order."""
    (case,) = cases(layer((1, 7, 37, 64), (3, 3), 32, padding=(1, 1, 1, 1)))
    rows, columns = (np.logspace(1, -1, size, dtype=np.float32) for size in (7, 37))  # the last patches are smaller
    x = np.asarray(case.operands[0]) * rows.reshape(1, 7, 1, 1) * columns.reshape(1, 1, 37, 1)
    (made,) = sliced_convolutions(case.call, _window(case), _target())
    made = _on_tiles(made)
    function, found = load([made.kernel])[made.kernel.symbol], []
    for order in (range(made.chunks), range(made.chunks - 1, -1, -1)):
        bound = Bound(made, case.call, function, {**case.operands, 0: x}, case.constants)
        bound(order)
        found.append(bound.results[0].copy())
    np.testing.assert_array_equal(*found)


def test_where_it_is_taken() -> None:
    (case,) = cases(layer((1, 80, 80, 96), (3, 3), 24, padding=(1, 1, 1, 1)))
    assert window_slicing_gain(_window(case), _target()) > 1
    assert is_sliced(convolution(case.call, _target())[0].variant)
    (stem,) = cases(layer((1, 64, 64, 3), (3, 3), 32, stride=2, padding=(1, 1, 1, 1)))
    assert window_slicing_gain(_window(stem), _target()) == 0
    assert not any(is_sliced(made.variant) for made in convolution(case.call, parse_target("cpu{isa=avx2}")))
