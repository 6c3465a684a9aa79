"""Networks of the zoo, quantised by noise, compute the same on the TPU as in the reference."""

from __future__ import annotations

import pytest

from nascompiler import api
from nascompiler.backends.tpu.checking import differing_results
from nascompiler.backends.tpu.machine import parse_machine
from nascompiler.ir import Graph
from nascompiler.tpu.workload_table import check_values
from nascompiler.verification import synthetic_inputs
from nascompiler.zoo import names

WORKLOADS = ("mlp0", "mlp1", "lstm0", "lstm1", "cnn0", "cnn1")
MOBILE = tuple(n for n in names() if n not in (*WORKLOADS, "nasnet-a-large"))


def _quantized(name: str, resolution: int | None = None) -> Graph:
    graph = api.load(name, resolution=resolution)
    batch = graph.inputs[0].type.static_shape[0]
    return api.quantize(graph, samples=batch, evaluate=batch).graph


def _check(graph: Graph, target: str) -> None:
    assert differing_results(graph, parse_machine(target), next(synthetic_inputs(graph, 3))) == []


def test_small_images_of_a_mobile_network() -> None:
    graph = _quantized("mobilenet-v3-small", 64)
    for target in ("tpu:v1", "tpu:v1{extensions=all}", "tpu:edge"):
        _check(graph, target)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOBILE)
def test_networks(name: str) -> None:
    graph = _quantized(name)
    for target in ("tpu:v1", "tpu:v1{extensions=all}"):
        _check(graph, target)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads(name: str) -> None:
    _check(_quantized(name), "tpu:v1")


@pytest.mark.parametrize("precision", ["int16x8", "int8x16", "int16"])
def test_a_workload_with_sixteen_bits(precision: str) -> None:
    assert check_values("mlp1", "tpu:v1", batch=3, precision=precision) == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int16x8", "int8x16", "int16"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_with_sixteen_bits(name: str, precision: str) -> None:
    assert check_values(name, "tpu:v1", batch=1, precision=precision) == []
