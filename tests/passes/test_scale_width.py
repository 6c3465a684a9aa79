"""scale-width by the rules of each family, held against what was published."""

import numpy as np
import pytest

from nascompiler import zoo
from nascompiler.ir import UsageError, evaluate, graph_cost, parse
from nascompiler.passes import run_pipeline


def scaled(name, width, size=224):
    passes = f"scale-width{{multiplier={width}}},set-resolution{{size={size}}},expand-cells"
    return graph_cost(run_pipeline(zoo.load(name), passes))


def filters(graph):
    return [node.attributes.get("filters") for node in graph.nodes]


@pytest.mark.parametrize(
    "name, width, params, macs",
    [  # millions; MobileNetV1: arXiv:1704.04861, table 6
        ("mobilenet-v1", 0.25, 0.5, 41),
        ("mobilenet-v1", 0.5, 1.3, 149),
        ("mobilenet-v1", 0.75, 2.6, 325),
        # MobileNetV2: the table of released checkpoints
        ("mobilenet-v2", 0.35, 1.66, 59),
        ("mobilenet-v2", 0.5, 1.95, 97),
        ("mobilenet-v2", 0.75, 2.61, 209),
        ("mobilenet-v2", 1.0, 3.47, 300),
        ("mobilenet-v2", 1.3, 5.34, 509),
        ("mobilenet-v2", 1.4, 6.06, 582),
        # MobileNetV3: arXiv:1905.02244, section 6.1
        ("mobilenet-v3-large", 0.35, None, 40),
        ("mobilenet-v3-large", 0.5, None, 69),
        ("mobilenet-v3-large", 0.75, 4.0, 155),
        ("mobilenet-v3-large", 1.25, None, 356),
        ("mobilenet-v3-small", 0.5, None, 21),
        ("mobilenet-v3-small", 0.75, 2.0, 44),
        ("mobilenet-v3-small", 1.25, None, 91),
    ],
)
def test_published_counts_of_the_mobilenets(name, width, params, macs):
    cost = scaled(name, width)
    assert cost.macs / 1e6 == pytest.approx(macs, rel=0.015)
    assert params is None or cost.params / 1e6 == pytest.approx(params, rel=0.025, abs=0.05)


@pytest.mark.parametrize(
    "size, published",
    [  # the table of released checkpoints, widths 0.35, 0.5, 0.75, 1.0, 1.4
        (224, (63.2, 105.2, 226.7, 315.2, 591.5)),
        (192, (46.8, 77.6, 166.9, 232.0, 435.1)),
        (160, (32.9, 54.4, 116.4, 161.6, 302.8)),
        (128, (21.6, 35.3, 75.0, 104.1, 194.5)),
        (96, (12.7, 20.5, 42.9, 59.3, 110.3)),
    ],
)
def test_published_counts_of_mnasnet_a1(size, published):
    """Published counts hold about 1 % more than convolutions and fully connected layers, thin networks more of it."""
    params = {0.35: 1.7, 0.5: 2.1, 0.75: 2.9, 1.0: 3.9, 1.4: 6.1}
    for (width, millions), macs in zip(params.items(), published, strict=True):
        cost = scaled("mnasnet-a1", width, size)
        assert macs - cost.macs / 1e6 + 0.5 >= 0.5
        assert cost.macs / 1e6 == pytest.approx(macs, rel=0.027)
        assert f"{cost.params / 1e6:.1f}" == str(millions)


def test_heads_that_are_not_scaled():
    for name, width, last in (
        ("mnasnet-a1", 0.5, 1280),
        ("mnasnet-a1", 1.4, 1280),
        ("mobilenet-v2", 0.5, 1280),
        ("mobilenet-v2", 1.4, 1792),
        ("mobilenet-v3-large", 0.5, 480),
    ):
        graph = run_pipeline(zoo.load(name), f"scale-width{{multiplier={width}}}")
        assert filters(graph)[-2] == last
    for width, hidden in ((0.5, 1280), (1.25, 1600)):
        graph = run_pipeline(zoo.load("mobilenet-v3-large"), f"scale-width{{multiplier={width}}}")
        assert list(graph.nodes)[-1]["hidden"] == hidden


def test_expansion_follows_from_the_scaled_input():
    """MobileNetV3 at 0.75: 184 = 2.3 x 80 becomes round8(2.3 x 64) = 144, where 184 x 0.75 would round to 136."""
    graph = run_pipeline(zoo.load("mobilenet-v3-large"), "scale-width{multiplier=0.75},expand-cells")
    expand = next(n for n in graph.nodes if n.results[0].name == "bneck9.expand")
    assert expand.result.type.static_shape[3] == 144


def test_rounding_never_loses_ten_percent():
    graph = run_pipeline(zoo.load("mobilenet-v2"), "scale-width{multiplier=0.35}")
    assert filters(graph)[:8] == [16, 8, 8, 16, 24, 32, 56, 112]  # 11.2 is not rounded to 8


def test_one_leaves_odd_widths_alone():
    body = "%y = arch.conv(%x) {filters=7}\n  %z = arch.pool(%y) {}\n  return z=%z"
    text = f"nir 1\ngraph @m(%x: f32[1,8,8,3]) {{\n  {body}\n}}\n"
    graph = parse(text)
    assert run_pipeline(graph, "scale-width{multiplier=1}") is graph
    assert filters(run_pipeline(graph, "scale-width{multiplier=2}"))[0] == 16


def test_outputs_keep_their_size():
    text = (
        "nir 1\ngraph @m(%x: f32[2,16]) {family=tpu} {\n  %h = arch.dense(%x) {units=8}\n"
        "  %y = arch.dense(%h) {units=4}\n  return y=%y\n}\n"
    )
    graph = run_pipeline(parse(text), "scale-width{multiplier=0.5}")
    assert [node["units"] for node in graph.nodes] == [4, 4]


@pytest.mark.parametrize("width", [0, -1, "inf", 1000])
def test_multipliers_that_make_no_sense(width):
    with pytest.raises(UsageError, match=r"multiplier is .*accepted: numbers above 0, up to 100"):
        run_pipeline(zoo.load("mobilenet-v2"), f"scale-width{{multiplier={width}}}")


def test_networks_become_narrower_by_groups_of_channels():
    graph = run_pipeline(zoo.load("mobilenet-v3-small"), "set-resolution{size=32},expand-cells")
    half = run_pipeline(graph, "scale-width{multiplier=0.5}")
    shapes = {v.name: v.type.static_shape for v in half.constants}
    assert shapes["bneck4.expand.weight"] == (1, 1, 16, 48)  # 24 and 96 channels before
    assert shapes["logits.linear.weight"] == (512, 1000)
    assert half.inputs[0].type == graph.inputs[0].type
    y = evaluate(half, {"image": np.ones((1, 32, 32, 3), np.float32)})["logits"]
    assert np.isfinite(y).all()


def test_the_channels_with_the_largest_filters_stay():
    body = "%h = arch.conv(%x) {filters=16, kernel=1, batch_norm=false}\n  %y = arch.conv(%h) {filters=4, kernel=1}"
    text = f"nir 1\ngraph @m(%x: f32[1,4,4,3]) {{\n  {body}\n  return y=%y\n}}\n"
    graph = run_pipeline(parse(text), "expand-cells")
    before, after = (
        next(v.array for v in g.constants if v.name == "h.conv.weight")
        for g in (graph, run_pipeline(graph, "scale-width{multiplier=0.5}"))
    )
    bias = next(v.array for v in graph.constants if v.name == "h.conv.bias")
    norms = np.square(before).sum(axis=(0, 1, 2)) + np.square(bias)
    assert np.array_equal(after, before[..., np.sort(np.argsort(-norms)[:8])])


def test_networks_cannot_become_wider():
    graph = run_pipeline(zoo.load("mobilenet-v3-small"), "expand-cells")
    with pytest.raises(UsageError, match=r"multiplier is 1.5; accepted for a network: numbers above 0, up to 1"):
        run_pipeline(graph, "scale-width{multiplier=1.5}")
