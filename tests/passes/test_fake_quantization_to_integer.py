"""Integer graphs give what the fake-quantised ones give, on whole networks; mixed ones are valid and say why."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

import nascompiler as nc
from nascompiler.architecture import expanded
from nascompiler.ir import DType, Graph, canonical_text, evaluate, verify
from nascompiler.ir.files import load, save
from nascompiler.passes import PassContext
from nascompiler.passes.fake_quantization_to_integer import FakeQuantizationToInteger
from nascompiler.passes.infrastructure.manager import run_pipeline
from nascompiler.passes.quantization.forms import Form, form_of
from nascompiler.passes.quantization.plan import make_plan
from nascompiler.passes.quantization.preparation import prepare
from tests.passes.conftest import graph_of
from tests.passes.networks import random_network
from tests.passes.quantization.networks import Parameters, parameters, random_inputs, signal_to_noise

PASS = "fake-quantization-to-integer"


def converted(fake: Graph) -> tuple[Graph, list[tuple[str, str, str]]]:
    graph, context = fake.clone(), PassContext()
    FakeQuantizationToInteger().run(graph, context)
    verify(graph)
    return graph, [m for m in context.misses if m[0].startswith("dequantize")]


def noises(found: Parameters, sample) -> tuple[float, float]:
    """Signal to noise of the fake-quantised graph against float, and of the integers against the fake-quantised one."""
    fake = found.fake()
    exact, rough = evaluate(found.plan.graph, sample), evaluate(fake, sample)
    integers = evaluate(converted(fake)[0], sample)
    return (
        min(signal_to_noise(exact[k], rough[k]) for k in exact),
        min(signal_to_noise(rough[k], integers[k]) for k in rough),
    )


@pytest.mark.parametrize("seed", range(16))
def test_random_networks(seed):
    graph = prepare(random_network(seed, channels_first=bool(seed % 2)))
    samples = random_inputs(graph, 3)
    found = parameters(make_plan(graph, tables=bool(seed % 3)), samples)
    fake = found.fake()
    result, _ = converted(fake)
    planned = sum(form_of(n) is not Form.PASSIVE for n in found.plan.integer)
    made = sum(n.op.dialect == "qnn" and "quantize" not in n.op.name for n in result.nodes)
    assert made == planned
    exact, rough = evaluate(fake, samples[0]), evaluate(result, samples[0])
    for name in exact:
        assert np.abs(exact[name] - rough[name]).max() <= 0.05 * np.abs(exact[name]).max() + 1e-6


NETWORKS = ["glyphs-mobilenet-v3", "glyphs-mnasnet", "glyphs-nasnet"]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A small network of the zoo's families with random weights, prepared."""
    return prepare(expanded(nc.load(str(files("nascompiler.training") / f"{request.param}.nir"))))


def test_small_networks_become_integer_as_a_whole(network):
    samples = random_inputs(network, 3)
    found = parameters(make_plan(network), samples)
    result, misses = converted(found.fake())
    assert misses == []
    assert {n.op.name for n in result.nodes if n.op.dialect == "nn"} <= {
        "nn.concat",
        "nn.max_pool2d",
        "nn.pad",
        "nn.reshape",
        "nn.slice",
        "nn.flatten",
    }
    assert not [n for n in result.nodes if n.op.dialect == "nn" for v in n.results if v.type.dtype is DType.F32]
    rough, near = noises(found, samples[0])
    assert rough > 10
    assert near > 20  # halves may be rounded the other way


def test_integer_graphs_survive_being_saved(network, tmp_path):
    samples = random_inputs(network, 1)
    result, _ = converted(parameters(make_plan(network), samples).fake())
    save(result, tmp_path / "q.nir")
    again = load(tmp_path / "q.nir")
    assert canonical_text(again) == canonical_text(result)
    for name, exact in evaluate(result, samples[0]).items():
        np.testing.assert_array_equal(evaluate(again, samples[0])[name], exact)


@pytest.mark.parametrize("seed", range(8))
def test_mixed_graphs(seed):
    graph = prepare(random_network(seed + 50, channels_first=bool(seed % 2)))
    samples = random_inputs(graph, 2)
    kept = [n for i, n in enumerate(graph.nodes) if i % 3 == seed % 3]
    wide = [n for i, n in enumerate(graph.nodes) if i % 4 == 0]
    plan = make_plan(graph, keep_float=kept, wide=wide)
    fake = parameters(plan, samples).fake()
    result, misses = converted(fake)
    assert all(reason for _, _, reason in misses)
    exact, rough = evaluate(fake, samples[0]), evaluate(result, samples[0])
    for name in exact:
        assert np.abs(exact[name] - rough[name]).max() <= 0.05 * np.abs(exact[name]).max() + 1e-6


def test_as_a_pass_it_keeps_its_promise():
    graph = prepare(random_network(3, channels_first=False))
    fake = parameters(make_plan(graph), random_inputs(graph, 2)).fake()
    assert run_pipeline(run_pipeline(fake, PASS), PASS).level in ("qnn", "nn")


def test_neighbours_are_joined(transforms):
    eight = "i8[4]<scale=0.5, zero_point=1>"
    transforms(
        f"""(%x: {eight}) {{
  %0 = qnn.dequantize(%x) {{x_scale=0.5, x_zero_point=1}} : f32[4]
  %1 = qnn.quantize(%0) {{scale=0.5, zero_point=1}} : {eight}
  %2 = qnn.quantize(%0) {{scale=0.25, zero_point=0}} : i8[4]<scale=0.25, zero_point=0>
  return y=%1, z=%2
}}""",
        PASS,
        f"""(%x: {eight}) {{
  %2 = qnn.requantize(%x) {{x_scale=0.5, x_zero_point=1, scale=0.25, zero_point=0}} : i8[4]<scale=0.25, zero_point=0>
  return y=%x, z=%2
}}""",
    )


def test_a_graph_without_fake_quantisation_stays(transforms):
    transforms("(%x: f32[2]) {\n  %y = nn.relu(%x) : f32[2]\n  return y=%y\n}", PASS)


def test_misses_name_the_node_and_the_reason():
    graph = graph_of("""(%x: i8[2,3]<scale=0.5, zero_point=1>) {
  %0 = qnn.dequantize(%x) {x_scale=0.5, x_zero_point=1} : f32[2,3]
  %y = nn.softmax(%0) : f32[2,3]
  return y=%y
}""")
    _, misses = converted(graph)
    assert misses == [
        ("dequantize, op, quantize = integer op", "%y = nn.softmax(%?)", "nn.softmax has no integer form")
    ]
