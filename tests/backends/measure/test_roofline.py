"""Bounds from what a machine can do, and the probes that measure it."""

from __future__ import annotations

import pytest

from nascompiler.backends.measure.latency import LayerTime
from nascompiler.backends.measure.roofline import Level, Probes, Roofline
from nascompiler.backends.target import parse_target

ROOFLINE = Roofline(100.0, 400.0, (Level("L1", 1000, 50.0), Level("L2", 10_000, 10.0), Level("memory", 1 << 62, 1.0)))


def _layer(macs: int, bytes: int, weight_bytes: int = 0, op: str = "cpu.conv2d", kernel: str = "gemm") -> LayerTime:
    return LayerTime("layer", op, 1.0, macs, bytes, weight_bytes, kernel)


def test_a_bound_is_the_longer_of_arithmetic_and_memory() -> None:
    assert ROOFLINE.bound_ns(_layer(10_000, 500), 0) == 100
    assert ROOFLINE.bound_ns(_layer(100, 500), 0) == 10
    assert ROOFLINE.bound_ns(_layer(100, 5000), 0) == 500


def test_weights_come_from_where_all_of_them_fit() -> None:
    assert ROOFLINE.bound_ns(_layer(0, 700, 200), weights=200) == pytest.approx(500 / 50 + 200 / 50)
    assert ROOFLINE.bound_ns(_layer(0, 700, 200), weights=5000) == pytest.approx(500 / 50 + 200 / 10)
    assert ROOFLINE.bound_ns(_layer(0, 700, 200), weights=50_000) == pytest.approx(500 / 50 + 200 / 1)


def test_integers_have_a_peak_of_their_own() -> None:
    assert ROOFLINE.bound_ns(_layer(10_000, 0, op="qnn.conv2d"), 0) == 25


def test_products_in_slices_are_six_of_bytes() -> None:
    layer = _layer(10_000, 0, kernel="slices of bytes by tiles, rows outside")
    assert ROOFLINE.bound_ns(layer, 0) == pytest.approx(150)


def test_a_roofline_is_the_median_or_the_fastest_of_probes() -> None:
    probes = [
        {"float_macs": f, "int8_macs": 4 * f, "levels": [["L1", 10, f], ["memory", 99, 1.0]]} for f in (3.0, 9.0, 5.0)
    ]
    assert Roofline.of(probes) == Roofline(5.0, 20.0, (Level("L1", 10, 5.0), Level("memory", 99, 1.0)))
    fastest = Roofline.of(probes, fastest=True)
    assert fastest == Roofline(9.0, 36.0, (Level("L1", 10, 9.0), Level("memory", 99, 1.0)))


def test_probes_measure_every_level() -> None:
    taken = Probes(parse_target("cpu{isa=sse2}")).take()
    assert [name for name, _, _ in taken["levels"]] == ["L1", "L2", "L3", "memory"]
    assert min(taken["float_macs"], taken["int8_macs"], *(rate for _, _, rate in taken["levels"])) > 0
