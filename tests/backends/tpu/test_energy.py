"""Energy and rooflines are arithmetic on the paper's figures."""

from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.tpu.energy import die_power_w, energy
from nascompiler.backends.tpu.machine import parse_machine
from nascompiler.backends.tpu.roofline import RooflinePoint, draw_roofline, machine_roof
from nascompiler.backends.tpu.simulator.counters import counters_of
from nascompiler.backends.tpu.simulator.timing import COUNTS, Count
from nascompiler.ir import UsageError

V1 = parse_machine("tpu:v1")


def test_energy_is_busy_power_times_time() -> None:
    counts = np.zeros(COUNTS, np.int64)
    counts[Count.NON_MATRIX] = 700_000
    found = energy(counters_of("total", counts), V1)
    assert found is not None
    assert found.die_j == pytest.approx(40e-3)
    assert found.server_share_j == pytest.approx(96e-3)
    assert "modelled" in found.how
    assert energy(counters_of("total", counts), parse_machine("tpu:edge")) is None


def test_power_at_a_load() -> None:
    assert [die_power_w(V1, load) for load in (0, 0.1, 1)] == pytest.approx([28, 35.2, 40])
    assert die_power_w(V1, 0.55) == pytest.approx(37.6)
    with pytest.raises(UsageError, match="no power figures"):
        die_power_w(parse_machine("tpu:tiny"), 1)


def test_the_ridge_is_where_the_paper_has_it(tmp_path: Path) -> None:
    roof = machine_roof(V1)
    assert roof.ridge == pytest.approx(1349, abs=1)
    assert roof.limit(200) == pytest.approx(2 * 200 * 34e9)
    assert roof.limit(1e6) == pytest.approx(91.75e12, rel=1e-4)
    figure = tmp_path / "roofline.svg"
    draw_roofline([roof], [RooflinePoint("mlp0", 200, 1e13, "simulated")], figure)
    assert "mlp0, simulated" in figure.read_text()
