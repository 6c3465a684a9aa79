"""The workloads under their roofs."""

from pathlib import Path

import pytest

from nascompiler.tpu.roofline_figure import draw_workloads, weight_bytes
from nascompiler.tpu.workload_table import run_workloads
from nascompiler.tpu.workloads import workload_structure


def test_a_workload_lies_under_the_roof_at_its_batch(tmp_path: Path) -> None:
    assert weight_bytes(workload_structure("mlp1")) == 4 * 1120 * 1120
    runs = run_workloads("tpu:v1", workloads=("mlp1",))
    (point,) = draw_workloads(runs, tmp_path / "roofline.svg")
    assert point.intensity == pytest.approx(168)
    assert point.ops_per_s < 2 * 168 * 34e9
    assert "mlp1, simulated" in (tmp_path / "roofline.svg").read_text()
    used = runs["mlp1"].to_json()["energy_modelled"]
    assert used["die_j"] == pytest.approx(40 * runs["mlp1"].to_json()["milliseconds"] / 1e3)
