from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.measure.latency import REST, Kind, Latency, LayerTime, median_layers

LAYERS = [LayerTime("a", "cpu.conv2d", 0.0, 100, 10), LayerTime("b", "cpu.linear", 0.0, 20, 5)]


def test_rows_add_up_to_the_median() -> None:
    layers = (LayerTime("a", "cpu.conv2d", 60.0, 1, 1), LayerTime("b", "cpu.linear", 30.0, 1, 1))
    latency = Latency(Kind.MEASURED, [100.0, 110.0, 90.0], layers=layers)
    assert sum(row.ns for row in latency.rows()) == pytest.approx(latency.median_ns)
    assert latency.rows()[-1].name == REST
    assert latency.rest_ns == pytest.approx(10.0)


def test_statistics_are_robust_against_one_outlier() -> None:
    latency = Latency(Kind.MEASURED, [10.0] * 9 + [1000.0])
    assert latency.median_ns == 10.0
    assert latency.mad_ns == 0.0
    assert latency.percentile_ns(99) > 100


def test_medians_of_profiled_runs() -> None:
    layers, clock = median_layers(LAYERS, [[5, 2], [7, 2], [6, 90]], end_to_end_ns=20)
    assert [(layer.name, layer.ns, layer.macs) for layer in layers] == [("a", 6.0, 100), ("b", 2.0, 20)]
    assert clock == 0.0


@pytest.mark.parametrize("end_to_end", [0.0, 1.0, 7.5, 11.0, 30.0])
def test_a_surplus_is_taken_off_all_calls_alike(end_to_end: float) -> None:
    times = [1.0, 4.0, 6.0]
    layers, clock = median_layers([LayerTime("x", "op", 0.0, 0, 0)] * 3, [times], end_to_end)
    result = np.array([layer.ns for layer in layers])
    assert result.sum() == pytest.approx(min(end_to_end, sum(times)), abs=1e-9)
    np.testing.assert_allclose(result, np.maximum(np.array(times) - clock, 0))


def test_no_profile_has_no_rows() -> None:
    assert median_layers([], [], 5.0) == ((), 0.0)
    assert Latency(Kind.MEASURED, [1.0]).rows() == []


def test_json_names_its_units_and_how_it_came_about() -> None:
    data = Latency(Kind.MEASURED, [1.0, 2.0, 3.0], cold_ns=9.0).to_json()
    assert data["kind"] == "measured"
    assert data["repeats"] == 3
    assert {"median_ns", "mad_ns", "p50_ns", "p90_ns", "p99_ns", "cold_ns", "layers"} <= set(data)
