from __future__ import annotations

import json
from typing import Any

import pytest

from nascompiler import zoo


def test_zoo_lists_names_counts_source_and_input_size(cli: Any) -> None:
    rows = {row["name"]: row for row in json.loads(cli("zoo", "--json").out)}
    assert sorted(rows) == zoo.names()
    row = rows["mobilenet-v2"]
    assert (row["params"], row["macs"], row["input_size"]) == (3504872, 300774272, [1, 224, 224, 3])
    assert "1801.04381" in row["source"]
    assert "mobilenet-v3-large" in cli("zoo").out


def test_inspect_shows_what_an_architecture_expands_to(cli: Any) -> None:
    data = json.loads(cli("inspect", "mobilenet-v3-large", "--json").out)
    assert (data["level"], data["params"], data["macs"]) == ("arch", 5483032, 216589760)
    assert data["outputs"][0]["shape"] == [1, 1000]


def test_width_and_resolution(cli: Any) -> None:
    result = cli("inspect", "mnasnet-a1", "--width", "0.5", "--resolution", "96", "--json")
    data = json.loads(result.out)
    assert data["inputs"][0]["shape"] == [1, 96, 96, 3]
    assert data["macs"] / 1e6 == pytest.approx(20.05, abs=0.01)


def test_nodes_of_an_architecture_have_their_figures(cli: Any) -> None:
    data = json.loads(cli("inspect", "mobilenet-v3-small", "--nodes", "--json").out)
    rows = {node["name"]: node["macs"] for node in data["nodes"]}
    assert rows["bneck3"] == 3932544
    assert sum(rows.values()) == data["macs"]


def test_a_search_space_has_no_counts(cli: Any) -> None:
    data = json.loads(cli("inspect", "mnasnet", "--json").out)
    assert (data["params"], data["macs"]) == (None, None)
    assert data["choices"] > 0
    assert "decide" in cli("inspect", "mnasnet").out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("mobilenet-v4",), "unknown model 'mobilenet-v4'"),
        (("mobilenet-v2", "--width", "0"), "multiplier is 0"),
        (("mobilenet-v2", "--resolution", "16"), "accepted for mobilenet-v2: 32 and more"),
        (("mobilenet-v2", "--resolution", "big"), "accepted: pixels as 224"),
    ],
)
def test_bad_input_names_the_field_and_what_is_accepted(cli: Any, arguments: tuple[str, ...], message: str) -> None:
    result = cli("inspect", *arguments)
    assert result.code == 2
    assert message in result.err


def test_options_of_architectures_do_not_fit_networks(cli: Any, small_onnx: Any) -> None:
    result = cli("inspect", small_onnx, "--resolution", "64")
    assert result.code == 2
    assert "apply to architectures" in result.err


def test_export_expands(cli: Any, tmp_path: Any) -> None:
    assert cli("export", "mobilenet-v3-small", "--width", "0.35", "-o", tmp_path / "net.onnx").code == 0
    data = json.loads(cli("inspect", tmp_path / "net.onnx", "--json").out)
    assert data["level"] == "nn"
