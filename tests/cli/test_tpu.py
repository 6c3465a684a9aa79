"""The TPU at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

KEYS = {
    "cycles",
    "array_active",
    "useful_macs",
    "unused_macs",
    "weight_stall",
    "weight_shift",
    "non_matrix",
    "raw_stalls",
    "input_stalls",
    "tops",
}


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))


def test_workloads_as_json(cli: Any) -> None:
    result = cli("tpu-workloads", "--json", "--only", "mlp1,cnn0")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert list(found) == ["mlp1", "cnn0"]
    for row in found.values():
        assert row.keys() >= KEYS
        parts = row["array_active"] + row["weight_stall"] + row["weight_shift"] + row["non_matrix"]
        assert parts == pytest.approx(100)
        assert row["useful_macs"] + row["unused_macs"] == pytest.approx(row["array_active"])
        assert row["kind"] == "simulated"
    assert (found["mlp1"]["batch"], found["cnn0"]["batch"]) == (168, 8)


def test_workloads_at_half_and_quarter_speed(cli: Any) -> None:
    cycles: dict[str, dict[str, int]] = {}
    for precision in ("int8", "int16x8", "int8x16", "int16"):
        result = cli("tpu-workloads", "--json", "--precision", precision)
        assert result.code == 0, result.err
        rows = json.loads(result.out)
        assert len(rows) == 6
        assert all(row["programs"] == 1 for row in rows.values())
        cycles[precision] = {name: row["cycles"] for name, row in rows.items()}
    for name in cycles["int8"]:
        assert cycles["int8"][name] < cycles["int16x8"][name] < cycles["int16"][name]
        assert cycles["int8"][name] < cycles["int8x16"][name] < cycles["int16"][name]
    bound = cycles["int8"]["cnn0"]  # by the array: the others wait for weights, which are the same bytes
    assert cycles["int16x8"]["cnn0"] == pytest.approx(2 * bound, rel=0.02)
    assert cycles["int16"]["cnn0"] == pytest.approx(4 * bound, rel=0.03)


def test_workloads_as_a_table(cli: Any) -> None:
    result = cli("tpu-workloads", "--only", "mlp1", "--target", "tpu:prime")
    assert result.code == 0
    assert "mlp1" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "mlp9"), "unknown workload 'mlp9'"),
        (("--target", "tpu:v9"), "unknown TPU 'tpu:v9'"),
        (("--target", "cpu"), "cannot read target 'cpu'"),
        (("--target", "tpu:v1{array=1}"), "array is 1"),
        (("--precision", "int4"), "unknown precision 'int4'"),
    ],
)
def test_bad_workload_options(cli: Any, arguments: tuple[str, ...], message: str) -> None:
    result = cli("tpu-workloads", *arguments)
    assert result.code == 2
    assert message in result.err


def test_a_network_that_is_not_all_offloaded_exits_4(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    result = cli(
        "compile",
        small_onnx,
        "--shape",
        "image=1x3x12x10",
        "--target",
        "tpu:v1",
        "--require-full-offload",
        "-o",
        tmp_path / "out",
    )
    assert result.code == 4
    assert "it computes in floating point, and the array multiplies integers" in result.err
    assert not (tmp_path / "out").exists()


def test_from_a_model_to_simulated_figures(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shape = ("--shape", "image=1x3x12x10")
    result = cli("compile", small_onnx, *shape, "--target", "tpu:v1", "--quantize", "-o", folder, "--verify")
    assert result.code == 0, result.err
    assert "identical" in result.err
    result = cli("bench", folder, "--json")
    found = json.loads(result.out)
    assert found["kind"] == "simulated"
    assert found["cycles"] == found["counters"]["cycles"]
    assert found["counters"].keys() >= KEYS
    layers = found["layer_counters"]
    assert all(row.keys() >= KEYS for row in layers)
    assert sum(row["cycles"] for row in layers) == found["cycles"]
    shown = cli("bench", folder, "--profile").out.splitlines()
    assert any(line.startswith("all ") and f"{found['cycles']:,}" in line for line in shown)
    assert all(any(line.startswith(row["name"]) for line in shown) for row in layers if row["cycles"])


def test_targets_lists_machines(cli: Any) -> None:
    result = cli("targets", "--json")
    found = json.loads(result.out)
    assert {"tpu:v1", "tpu:prime", "tpu:edge"} <= found.keys()
    assert found["tpu:v1"]["kind"] == "tpu"
