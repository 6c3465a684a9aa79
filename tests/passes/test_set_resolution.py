import pytest

from nascompiler import zoo
from nascompiler.ir import UsageError, graph_cost, parse
from nascompiler.passes import run_pipeline
from nascompiler.passes.set_resolution import total_stride


@pytest.mark.parametrize(
    "size, macs",  # millions: the table of released MobileNetV2 checkpoints
    [(192, 221), (160, 154), (128, 99), (96, 56)],
)
def test_published_counts_of_mobilenet_v2(size, macs):
    graph = run_pipeline(zoo.load("mobilenet-v2"), f"set-resolution{{size={size}}},expand-cells")
    assert graph_cost(graph).macs / 1e6 == pytest.approx(macs, rel=0.015)


def test_height_and_width():
    graph = run_pipeline(zoo.load("mobilenet-v2"), 'set-resolution{size="64x96"}')
    assert graph.inputs[0].type.static_shape == (1, 64, 96, 3)
    assert run_pipeline(graph, 'set-resolution{size="64x96"}') is graph
    assert run_pipeline(graph, "expand-cells").outputs[0].type.static_shape == (1, 1000)


@pytest.mark.parametrize("name", [n for n in zoo.names() if total_stride(zoo.load(n)) > 1])
def test_the_smallest_accepted_resolution_expands_and_one_less_is_refused(name):
    graph = zoo.load(name)
    smallest = total_stride(graph)
    run_pipeline(graph, f"set-resolution{{size={smallest}}},expand-cells")
    with pytest.raises(UsageError, match=f"size is {smallest - 1}; accepted for {name}: {smallest} and more"):
        run_pipeline(graph, f"set-resolution{{size={smallest - 1}}}")


@pytest.mark.parametrize("size", ["0", "-3", '"axb"', '"224x"', '"1x2x3"', "1.5"])
def test_sizes_that_are_none(size):
    with pytest.raises(UsageError, match=r"size.*accepted: "):
        run_pipeline(zoo.load("mobilenet-v2"), f"set-resolution{{size={size}}}")


def test_a_graph_without_an_image():
    text = "nir 1\ngraph @mlp(%x: f32[2,16]) {\n  %y = arch.dense(%x) {units=4}\n  return y=%y\n}\n"
    with pytest.raises(UsageError, match=r"one input that is an image.*mlp has x f32\[2,16\]"):
        run_pipeline(parse(text), "set-resolution{size=32}")
