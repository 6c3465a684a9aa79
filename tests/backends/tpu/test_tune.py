"""Mapping search makes networks no slower, is kept, and is taken by the compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from nascompiler import api
from nascompiler.backends.cache import VARIABLE
from nascompiler.backends.tpu.checking import differing_results
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.timing import networks_of, time_network
from nascompiler.backends.tpu.tuned import keep_mappings, known_mappings
from nascompiler.ir import DType, Graph
from tests.backends.tpu.networks import Networks

TARGET = "tpu:tiny{parameter-memory=64KiB}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def machine() -> Machine:
    return parse_machine(TARGET)


def _network() -> tuple[Graph, Networks]:
    made = Networks((1, 12, 12, 3))
    x = made.conv(made.inputs[0], 8, strides=(2, 2), padding=(0, 0, 1, 1), activation="relu")
    for _ in range(2):
        x = made.conv(x, 8, groups=8, padding=(1, 1, 1, 1), activation="relu")
        x = made.conv(x, 8, (1, 1))
    return made.graph(made.linear(made.pool("global_average_pool", x), 10, dtype=DType.F32)), made


def test_tuning_is_kept_and_taken(machine: Machine) -> None:
    graph, made = _network()
    before = time_network(graph, machine).cycles
    result = api.tune(graph, TARGET, budget_s=60)
    assert result.end_to_end is not None
    assert result.end_to_end["kind"] == "simulated"
    after = time_network(graph, machine)
    assert after.cycles <= before
    assert result.end_to_end["tuned_ns"] == pytest.approx(1e9 * machine.seconds(after.cycles))
    assert {call.op for call in result.calls} == {"qnn.conv2d", "qnn.linear"}
    assert result.measured == len(result.calls)
    assert differing_results(graph, machine, made.arrays()) == []


def test_no_layer_is_begun_after_the_budget(machine: Machine) -> None:
    result = api.tune(_network()[0], TARGET, budget_s=1e-9)
    assert (result.measured, result.left) == (0, 6)


def test_mappings_of_other_networks_are_not_taken(machine: Machine, cache: Path) -> None:
    (network,), _ = networks_of(_network()[0], machine)
    other = parse_machine("tpu:tiny{parameter-memory=64KiB,clock=1GHz}")
    from nascompiler.backends.tpu.compiler.best import best_program

    plan = best_program(network, machine).plan
    keep_mappings(network, machine, plan.mappings)
    assert known_mappings(network, machine) == plan.mappings
    assert known_mappings(network, other) == {}
    (path,) = cache.glob("tpu-mappings/*.json")
    path.write_text("{broken", encoding="utf-8")
    assert known_mappings(network, machine) == {}
