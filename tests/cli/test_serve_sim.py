"""The commands about the TPU paper's questions."""

import json
from pathlib import Path
from typing import Any

import pytest


def test_serve_sim_prints_machines(cli: Any) -> None:
    options = ["--batches", "1,64", "--cpu-batches", "none", "--requests", "2000", "--json"]
    found = json.loads(cli("serve-sim", "mlp1", *options).out)
    (tpu,) = found["machines"]
    assert tpu["kind"] == "simulated"
    assert "modelled" in tpu["power"]
    assert [row["batch"] for row in tpu["rows"]] == [1, 64]
    assert tpu["rows"][1]["per_second"] > tpu["rows"][0]["per_second"] > 0
    assert tpu["largest_batch"] == 64


@pytest.mark.parametrize(
    "options", [["--limit", "7"], ["--batches", "0,1"], ["--cpu-batches", "many"], ["--target", "cpu"]]
)
def test_bad_options(options: list[str], cli: Any) -> None:
    result = cli("serve-sim", "mlp1", "--batches", "1", "--cpu-batches", "none", *options)
    assert result.code == 2
    assert "accepted" in result.err or "at least one" in result.err


def test_what_if_prints_and_draws(tmp_path: Path, cli: Any) -> None:
    figure = tmp_path / "scaling.svg"
    result = cli("tpu-what-if", "--workload", "mlp1", "--json", "--figure", figure)
    rows = json.loads(result.out)["rows"]
    assert {row["scaled"] for row in rows} == {"memory", "clock+", "clock", "matrix+", "matrix", "gddr5"}
    assert figure.read_text().startswith("<?xml")


def test_a_folder_without_programs(tmp_path: Path, cli: Any) -> None:
    result = cli("tpu-listing", tmp_path)
    assert result.code == 2
    assert "compiled for a TPU" in result.err
