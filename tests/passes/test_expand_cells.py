"""expand-cells: the conventions of each family, names, and weights by seed."""

import numpy as np
import pytest

from nascompiler import zoo
from nascompiler.ir import Builder, ModelError, UsageError, evaluate, graph_cost, node_cost, parse, verify
from nascompiler.passes import Pipeline, run_pipeline
from nascompiler.passes.expansion.statistics import natural_images


def network(body, *, family="plain", size=8, channels=16, seed=0):
    """The expansion of lines that lead from %x to %y."""
    lines = "\n  ".join(body.strip().splitlines())
    header = f"graph @main(%x: f32[1,{size},{size},{channels}]) {{family={family}}}"
    text = f"nir 1\n{header} {{\n  {lines}\n  return y=%y\n}}\n"
    return run_pipeline(parse(text), f"expand-cells{{seed={seed}}}")


def nodes(graph, op):
    return [node for node in graph.nodes if node.op.name == f"nn.{op}"]


def test_names_and_origins_come_from_the_architecture():
    graph = network("%y = arch.block(%x) {filters=16, repeats=2, se_ratio=0.25}", family="mobilenet-v3")
    names = [node.results[0].name for node in graph.nodes]
    assert names[:3] == ["y.1.expand", "y.1.expand.batch_norm", "y.1.expand.relu"]
    assert names[-1] == "y.2.add"
    assert {node.origin for node in graph.nodes} == {"y"}
    assert {v.name for v in graph.constants} >= {"y.2.depthwise.weight", "y.2.squeeze_excite.w1"}
    assert graph.level == "nn"
    verify(graph)


def test_nameless_nodes_are_numbered():
    builder = Builder("main")
    x = builder.input("x", (1, 8, 8, 4))
    for _ in range(2):
        x = builder.arch.conv(x, filters=4)
    graph = run_pipeline(builder.outputs(y=x), "expand-cells")
    assert [node.results[0].name for node in nodes(graph, "conv2d")] == ["conv1.conv", "conv2.conv"]


@pytest.mark.parametrize(
    "body, adds",
    [
        ("%y = arch.block(%x) {filters=16}", 1),
        ("%y = arch.block(%x) {filters=24}", 0),
        ("%y = arch.block(%x) {filters=24, repeats=3}", 2),
        ("%y = arch.block(%x) {filters=16, stride=2}", 0),
        ("%y = arch.block(%x) {filters=16, stride=2, skip=pooling}", 1),
        ("%y = arch.block(%x) {filters=16, skip=none, repeats=2}", 0),
        ("%y = arch.block(%x) {op=conv, filters=16, repeats=2}", 2),
    ],
)
def test_residual_where_stride_is_one_and_channels_are_equal(body, adds):
    assert len(nodes(network(body), "add")) == adds


def test_no_expanding_convolution_where_nothing_expands():
    graph = network("%y = arch.block(%x) {expansion=1.0, filters=16}")
    assert [node.results[0].name for node in nodes(graph, "conv2d")] == ["y.depthwise", "y.project"]


def test_separable_blocks_end_in_an_activation_in_mobilenet_v1_only():
    body = "%y = arch.block(%x) {op=depthwise_separable, filters=8, activation=relu6}"
    assert len(nodes(network(body, family="mobilenet-v1"), "relu6")) == 2
    assert len(nodes(network(body, family="mnasnet"), "relu6")) == 1


def squeezed(name):
    graph = run_pipeline(zoo.load(name), "expand-cells")
    return [node.operands[1].type.static_shape[1] for node in nodes(graph, "squeeze_excite")]


def test_squeezed_channels_are_those_of_the_released_code():
    assert squeezed("mnasnet-a1") == [6, 10, 10, 20, 28, 28, 40, 40]
    assert squeezed("mobilenet-v3-large") == [24, 32, 32, 120, 168, 168, 240, 240]
    assert squeezed("mobilenet-v3-small") == [8, 24, 64, 64, 32, 40, 72, 144, 144]


def test_gates_and_epsilon_by_family():
    body = "%y = arch.block(%x) {filters=16, se_ratio=0.25}"
    gates = {f: nodes(network(body, family=f), "squeeze_excite")[0]["gate"] for f in ("mnasnet", "mobilenet-v3")}
    assert gates == {"mnasnet": "sigmoid", "mobilenet-v3": "hard_sigmoid"}
    epsilons = {f: nodes(network(body, family=f), "batch_norm")[0]["epsilon"] for f in ("mnasnet", "resnet")}
    assert epsilons == {"mnasnet": 1e-3, "resnet": 1e-5}


@pytest.mark.parametrize(
    "family, kernel, size, padding",
    [
        ("mobilenet-v2", 3, 8, (0, 0, 1, 1)),  # TensorFlow's SAME: the odd zero at the end
        ("mobilenet-v2", 5, 8, (1, 1, 2, 2)),
        ("mobilenet-v2", 3, 7, (1, 1, 1, 1)),
        ("resnet", 3, 8, (1, 1, 1, 1)),
        ("resnet", 7, 8, (3, 3, 3, 3)),
    ],
)
def test_same_padding(family, kernel, size, padding):
    graph = network(f"%y = arch.conv(%x) {{filters=4, kernel={kernel}, stride=2}}", family=family, size=size)
    (conv,) = nodes(graph, "conv2d")
    assert conv["padding"] == padding
    assert conv.result.type.static_shape == (1, (size + 1) // 2, (size + 1) // 2, 4)


def test_endpoints_are_the_inner_tensors():
    graph = network("%z, %y = arch.block(%x) {filters=8, stride=2, endpoint=expansion}\n%w = arch.pool(%z) {}")
    assert graph.outputs[0].type.static_shape == (1, 8, 8, 96)
    graph = network("%z, %y = arch.block(%x) {filters=8, stride=2, endpoint=depthwise}\n%w = arch.pool(%z) {}")
    assert graph.outputs[0].type.static_shape == (1, 4, 4, 96)
    with pytest.raises(ModelError, match="endpoint is 'expansion'"):
        network("%z, %y = arch.block(%x) {filters=8, expansion=1.0, endpoint=expansion}")


def test_layers_of_other_kinds():
    builder = Builder("main")
    x = builder.input("x", (5, 2, 6))
    x = builder.arch.lstm(x, units=4, repeats=2)
    graph = run_pipeline(
        builder.outputs(y=builder.arch.dense(x, units=3, repeats=2, activation="tanh")), "expand-cells"
    )
    assert graph.outputs[0].type.static_shape == (5, 2, 3)
    assert graph_cost(graph).macs == 5 * 2 * ((6 + 4) * 16 + (4 + 4) * 16 + 4 * 3 + 3 * 3)
    y = evaluate(graph, {"x": np.ones((5, 2, 6), np.float32)})["y"]
    assert np.isfinite(y).all()
    flat = network("%y = arch.dense(%x) {units=3}", size=2)
    assert flat.outputs[0].type.static_shape == (1, 3)


def constants(graph):
    return {v.name: v.constant for v in graph.constants}


BLOCK = """
%s = arch.conv(%x) {filters=8, stride=2}
%z = arch.block(%s) {filters=8, se_ratio=0.25}
%y = arch.classifier(%z) {classes=5}
"""


def test_weights_depend_on_the_seed_and_not_on_who_asks_first():
    first, second = constants(network(BLOCK, size=32)), constants(network(BLOCK, size=32))
    for name in first:  # in opposite orders
        first[name].array
    for name in reversed(second):
        second[name].array
    assert all(first[name] == second[name] for name in first)
    other = constants(network(BLOCK, size=32, seed=1))
    assert all(first[name] != other[name] for name in first)


def test_weights_are_made_when_looked_at():
    assert all(c._array is None for c in constants(network(BLOCK, size=32)).values())


def test_batch_norms_normalise_what_they_get():
    graph = network(BLOCK, size=160, channels=3)
    seen = {}
    x = natural_images((1, 160, 160, 3), np.random.default_rng(7)).astype(np.float32)
    evaluate(graph, {"x": x}, observe=lambda value, array: seen.setdefault(value.name, array))
    for node in nodes(graph, "batch_norm"):
        spread = seen[node.result.name].std()
        assert 0.3 < spread < 3, node


def test_a_network_that_cannot_be_measured_smaller_is_measured_as_it_is():
    # 200 pixels would be measured at 168, where 21 x 21 no longer flattens to what the layer takes
    body = """
    %a = arch.conv(%x) {filters=2, stride=8}
    %b = arch.dense(%a) {units=12}
    %y = arch.dense(%b) {units=3}
    """
    graph = network(body, size=200, channels=1)
    assert np.isfinite(evaluate(graph, {"x": np.ones((1, 200, 200, 1), np.float32)})["y"]).all()


def test_unknown_family_and_open_sizes_are_refused():
    with pytest.raises(UsageError, match=r"unknown family 'mobilnet-v2'.*did you mean mobilenet-v2"):
        network("%y = arch.conv(%x) {filters=4}", family="mobilnet-v2")
    with pytest.raises(ModelError, match=r"arch.conv y: .*height and width are not known"):
        network("%y = arch.conv(%x) {filters=4}", size="?")
    with pytest.raises(ModelError, match=r"arch.conv y: .*height of x is 2"):
        network("%y = arch.conv(%x) {filters=4, kernel=5, padding=valid}", size=2)
    with pytest.raises(UsageError, match=r"expand-cells needs closed.*add decide"):
        network("choice @k = [3, 5]\n%y = arch.conv(%x) {filters=4, kernel=@k}")


LARGE = (
    """5.419 5.018 19.468 12.870 9.092 9.886 9.886 11.713 6.625 6.095 6.095 19.025 30.915 21.069 16.690 16.690 7.526"""
)
SMALL = """5.419 1.255 5.475 3.933 3.034 4.970 4.970 2.665 3.427 4.459 6.290 6.290 2.710"""


@pytest.mark.parametrize("name, rows", [("mobilenet-v3-large", LARGE), ("mobilenet-v3-small", SMALL)])
def test_multiply_adds_of_every_row_of_mobilenet_v3(name, rows):
    """arXiv:1905.02244, tables 1 and 2, counted row by row, in millions."""
    graph = run_pipeline(zoo.load(name), "expand-cells")
    macs = dict.fromkeys((node.origin for node in graph.nodes), 0)
    for node in graph.nodes:
        macs[node.origin] += node_cost(node).macs
    assert [f"{m / 1e6:.3f}" for m in macs.values()][:-1] == rows.split()


def test_random_statistics_change_no_size():
    arch = parse(
        "nir 1\ngraph @main(%x: f32[1,32,32,3]) {family=mobilenet-v3} {\n"
        "  %y = arch.block(%x) {filters=16, se_ratio=0.25}\n  return y=%y\n}\n"
    )
    measured, random = (run_pipeline(arch, f"expand-cells{{statistics={how}}}") for how in ("measured", "random"))
    assert [(n.op.name, n.attributes, [v.type for v in n.operands]) for n in random.nodes] == [
        (n.op.name, n.attributes, [v.type for v in n.operands]) for n in measured.nodes
    ]
    assert [v.name for v in random.constants] == [v.name for v in measured.constants]
    x = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype(np.float32)
    assert np.isfinite(evaluate(random, {"x": x})["y"]).all()


def test_statistics_are_measured_or_random():
    with pytest.raises(UsageError, match=r"guessed.*accepted: measured"):
        Pipeline.parse("expand-cells{statistics=guessed}")
