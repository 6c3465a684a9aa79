"""Convolutions of every geometry that a tile meets, on memory that ends where arrays end, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.convolution import convolution
from nascompiler.backends.kernels.convolution import Convolution
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import Isa, parse_target
from nascompiler.ir import Graph
from tests.backends.cpu.test_candidates import ISAS, cases, check
from tests.backends.test_kernels import _fused

NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))


def layer(x: tuple[int, ...], kernel: tuple[int, int], features: int, *, stride: int = 1, **how: Any) -> Graph:
    """A convolution of x [N, H, W, C] by a square or any other kernel."""
    shape = (*kernel, x[3] // how.get("groups", 1), features)
    return _fused(np.random.default_rng(1), "cpu.conv2d", x, shape, (features,), strides=(stride, stride), **how)


def planar(x: tuple[int, ...], kernel: tuple[int, int], features: int, *, stride: int = 1, **how: Any) -> Graph:
    """A convolution of x [N, C, H, W]."""
    shape = (*kernel, x[1], features)
    return _fused(np.random.default_rng(1), "cpu.planar_conv2d", x, shape, (features,), strides=(stride, stride), **how)


GEOMETRIES = {
    "stem": layer((1, 20, 21, 3), (3, 3), 16, stride=2, padding=(0, 0, 1, 1), activation="hard_swish"),
    "stem of a batch": layer((2, 9, 20, 3), (3, 3), 16, stride=2, padding=(1, 1, 1, 1), activation="hard_swish"),
    "stem without padding": layer((1, 21, 21, 3), (3, 3), 16, stride=2, activation="hard_swish"),
    "large kernel of a gray image": layer((1, 17, 18, 1), (7, 7), 24, stride=2, padding=(3, 3, 3, 3)),
    "image smaller than the kernel": layer((1, 2, 3, 4), (5, 5), 20, padding=(2, 2, 2, 2)),
    "windows that miss the image": layer((1, 3, 3, 4), (2, 2), 20, stride=3, padding=(4, 3, 5, 7)),
    "strided pointwise": layer((1, 13, 16, 44), (1, 1), 22, stride=2),
    "channels": layer((1, 9, 14, 40), (3, 3), 56, padding=(1, 1, 1, 1), activation="relu"),
    "narrow rows": layer((2, 9, 2, 40), (3, 3), 56, padding=(1, 1, 1, 1), activation="relu"),
    "residual": layer((1, 7, 8, 19), (3, 1), 5, padding=(1, 0, 1, 0), residual=True),
    "dilated": layer((1, 9, 15, 20), (3, 2), 33, dilation=(2, 3), padding=(2, 3, 2, 0)),
    "planes": planar((1, 3, 20, 21), (3, 3), 16, stride=2, padding=(0, 0, 1, 1), activation="hard_swish"),
    "planes of a batch": planar((2, 3, 9, 20), (3, 3), 40, stride=2, padding=(1, 1, 1, 1), activation="relu"),
    "planes and residual": planar((1, 2, 7, 8), (2, 3), 5, dilation=(2, 1), padding=(1, 1, 1, 1), residual=True),
    "one plane": planar((1, 1, 17, 40), (7, 7), 24, stride=3, padding=(3, 3, 3, 3)),
    "groups": layer((1, 7, 9, 66), (3, 3), 99, padding=(1, 1, 1, 1), groups=3),
    "groups of few channels": layer((1, 7, 9, 6), (3, 3), 27, stride=2, padding=(1, 1, 1, 1), groups=3),
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_by_every_tile_and_order(geometry: str) -> None:
    for case in cases(GEOMETRIES[geometry]):
        found = convolution(case.call, parse_target("cpu"))
        assert found
        for made in found:
            check(case, made)


@pytest.mark.parametrize("isa", ISAS[1:])
@pytest.mark.parametrize(
    "geometry", ["stem", "stem of a batch", "planes of a batch", "dilated", "groups of few channels"]
)
def test_on_lesser_instruction_sets(geometry: str, isa: str) -> None:
    for case in cases(GEOMETRIES[geometry]):
        check(case, convolution(case.call, parse_target(f"cpu{{isa={isa}}}"))[0])


def test_groups_that_fill_no_vector_are_left_to_the_template() -> None:
    for case in cases(layer((1, 7, 9, 64), (3, 3), 64, groups=32)):
        assert not convolution(case.call, parse_target("cpu"))


def test_sizes_are_no_part_of_the_code() -> None:
    target = parse_target("cpu")

    def kernel(*how: Any, **more: Any) -> Convolution:
        (case,) = cases(layer(*how, padding=(1, 1, 1, 1), **more))
        found = [made.kernel for made in convolution(case.call, target)]
        return next(kernel for kernel in found if isinstance(kernel, Convolution))

    assert kernel((1, 14, 14, 64), (3, 3), 96) == kernel((2, 28, 28, 32), (5, 3), 192, stride=2)


def test_compiles_for_aarch64() -> None:
    assert emit_object(Convolution(NEON, pixels=7, vectors=3, divisor=3, step=6))[:4] == b"\x7fELF"
