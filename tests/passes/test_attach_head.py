"""attach-head: published counts, what the trunk becomes, values, ONNX, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nascompiler import api, zoo
from nascompiler.architecture import expanded, specialize
from nascompiler.ir import Graph, ModelError, UsageError, evaluate, graph_cost, parse, print_graph, verify
from nascompiler.passes import run_pipeline
from nascompiler.passes.expansion.statistics import natural_images


def attached(name: str, options: str) -> Graph:
    graph = run_pipeline(zoo.load(name), f"attach-head{{{options}}}")
    verify(graph)
    return graph


def block(graph: Graph, name: str) -> dict[str, object]:
    (found,) = [n for n in graph.nodes if n.results[0].name == name]
    return dict(found.attributes)


@pytest.mark.parametrize(
    "name, head, params, macs, rebuilt",  # MobileNetV3, table 6: 4.97M 0.62B, 3.22M 0.51B, 2.49M 0.21B, 1.77M 0.16B
    [
        ("mobilenet-v3-large", "ssdlite", 5_006_735, 613_143_104, (5.01e6, 0.613e9)),
        ("mobilenet-v3-large", "ssdlite-halved", 3_248_255, 506_563_904, (3.25e6, 0.507e9)),
        ("mobilenet-v3-small", "ssdlite", 2_518_271, 210_417_856, (2.52e6, 0.210e9)),
        ("mobilenet-v3-small", "ssdlite-halved", 1_785_743, 162_303_424, (1.79e6, 0.162e9)),
        ("mnasnet-a1", "ssdlite", 4_912_181, 837_819_232, (4.9e6, 0.84e9)),  # MnasNet, table 3: 4.9M, 0.8B
    ],
)
def test_counts_of_ssdlite(name: str, head: str, params: int, macs: int, rebuilt: tuple[float, float]) -> None:
    graph = run_pipeline(attached(name, f"head={head}"), "expand-cells")
    cost = graph_cost(graph)
    assert (cost.params, cost.macs) == (params, macs)
    assert (cost.params, cost.macs) == pytest.approx(rebuilt, rel=0.01)
    anchors = 3 * 20 * 20 + 6 * (10 * 10 + 5 * 5 + 3 * 3 + 2 * 2 + 1)
    assert graph.output_names == ["boxes", "scores"]
    assert [v.type.shape for v in graph.outputs] == [(1, anchors, 4), (1, anchors, 91)]


@pytest.mark.parametrize(
    "name, options, millions, billions",  # MobileNetV3, table 7, at 1024x2048
    [
        ("mobilenet-v3-large", "filters=128", 1.51, 9.74),
        ("mobilenet-v3-large", "filters=256", 1.63, 10.33),
        ("mobilenet-v3-large", "output_stride=32", 1.51, 7.74),
        ("mobilenet-v3-small", "filters=128", 0.47, 2.90),
    ],
)
def test_counts_of_lr_aspp(name: str, options: str, millions: float, billions: float) -> None:
    graph = run_pipeline(attached(name, f"head=lr-aspp,{options}"), "expand-cells")
    cost = graph_cost(graph)
    assert round(cost.params / 1e6, 2) == millions
    assert cost.macs is not None
    assert cost.macs / 1e9 == pytest.approx(billions, rel=0.07)
    assert graph.outputs[0].type.shape == (1, 1024, 2048, 19)
    (pool,) = [n for n in graph.nodes if n.results[0].name == "logits.pool"]
    assert pool["strides"] == (16, 20)
    if "stride" not in options:
        assert pool["kernel"] == (49, 49)
        assert pool.result.type.static_shape[1:3] == (1, 4)


def test_ssdlite_taps_the_expansion_of_the_layer_that_halves_the_map() -> None:
    graph = run_pipeline(attached("mobilenet-v3-large", "head=ssdlite"), "expand-cells")
    maps = [n.operands[0].type.shape for n in graph.nodes if n.result.name.endswith("boxes.depthwise")]
    assert maps == [
        (1, 20, 20, 672), (1, 10, 10, 960), (1, 5, 5, 512), (1, 3, 3, 256), (1, 2, 2, 256), (1, 1, 1, 128),
    ]  # fmt: skip


def test_a_block_of_several_layers_is_split() -> None:
    graph = attached("mobilenet-v2", "head=ssdlite")
    first, rest = block(graph, "block6_first"), block(graph, "block6")
    assert (first["repeats"], first["stride"], first["endpoint"]) == (1, 2, "expansion")
    assert (rest["repeats"], rest["stride"], rest["endpoint"]) == (2, 1, "none")
    network = run_pipeline(graph, "expand-cells")
    maps = [n.operands[0].type.shape for n in network.nodes if n.result.name.endswith("boxes.depthwise")]
    assert maps[:2] == [(1, 20, 20, 576), (1, 10, 10, 1280)]


def test_without_an_expansion_the_input_of_that_layer_is_taken() -> None:
    network = run_pipeline(attached("mobilenet-v1", "head=ssdlite"), "expand-cells")
    maps = [n.operands[0].type.shape for n in network.nodes if n.result.name.endswith("boxes.depthwise")]
    assert maps[:2] == [(1, 20, 20, 512), (1, 10, 10, 1024)]


@pytest.mark.parametrize(
    "name, head, expansions, outputs",
    [  # facts: detection keeps the first expansion, segmentation halves it too
        ("mobilenet-v3-large", "ssdlite-halved", [672, 480, 480], [80, 80, 80, 480]),
        ("mobilenet-v3-small", "ssdlite-halved", [288, 288, 288], [48, 48, 48, 288]),
        ("mobilenet-v3-large", "lr-aspp", [336, 480, 480], [80, 80, 80, 480]),
        ("mobilenet-v3-small", "lr-aspp", [144, 288, 288], [48, 48, 48, 288]),
    ],
)
def test_the_reduced_last_stage(name: str, head: str, expansions: list[int], outputs: list[int]) -> None:
    network = run_pipeline(attached(name, f"head={head}"), "expand-cells")
    made = {n.results[0].name: n.results[0].type.static_shape[-1] for n in network.nodes}
    rows = range(13, 16) if "large" in name else range(9, 12)
    assert [made[f"bneck{i}.expand"] for i in rows] == expansions
    assert [made[f"bneck{i}.project"] for i in rows] + [made["last.conv"]] == outputs


def test_lr_aspp_dilates_behind_the_last_reduction() -> None:
    graph = attached("mobilenet-v3-large", "head=lr-aspp")
    found = [(block(graph, f"bneck{i}")["stride"], block(graph, f"bneck{i}")["dilation"]) for i in (12, 13, 14, 15)]
    assert found == [(1, 1), (1, 1), (1, 2), (1, 2)]
    assert block(graph, "bneck6")["endpoint"] == "depthwise"
    coarse = attached("mobilenet-v3-large", "head=lr-aspp,output_stride=32")
    assert [(block(coarse, f"bneck{i}")["stride"], block(coarse, f"bneck{i}")["dilation"]) for i in (13, 14)] == [
        (2, 1),
        (1, 1),
    ]


@pytest.mark.parametrize(("name", "channels"), [("mobilenet-v3-large", 120), ("mobilenet-v3-small", 88)])
def test_lr_aspp_takes_details_before_squeeze_excite(name: str, channels: int) -> None:
    network = run_pipeline(attached(name, "head=lr-aspp"), "expand-cells")
    (low,) = [n for n in network.nodes if n.results[0].name == "logits.low"]
    assert low.operands[0].type.shape == (1, 128, 256, channels)
    assert low.operands[0].name.startswith(("bneck6.depthwise", "bneck3.depthwise"))


CASES = [
    ("mobilenet-v3-small", "ssdlite", 64),
    ("mobilenet-v3-small-minimalistic", "ssdlite-halved", 64),
    ("mnasnet-a1", "ssdlite", 64),
    ("mobilenet-v3-small", "lr-aspp", "64x96"),
    ("mobilenet-v3-small", "lr-aspp", "61x83"),
]


@pytest.mark.parametrize(("name", "head", "size"), CASES)
def test_small_images_evaluate_and_onnx_runtime_agrees(name: str, head: str, size: int | str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = expanded(api.load(name, head=head, width=0.5, resolution=size))
    verify(graph)
    api.export(graph, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    shape = graph.inputs[0].type.static_shape
    image = natural_images((shape[0], shape[1], shape[2], shape[3]), np.random.default_rng(3)).astype(np.float32)
    ours = evaluate(graph, {"image": image})
    for name_, theirs in zip(graph.output_names, session.run(graph.output_names, {"image": image}), strict=True):
        assert ours[name_].shape == theirs.shape
        assert np.abs(ours[name_] - theirs).max() <= 1e-4 * np.abs(ours[name_]).max()


def test_other_classes() -> None:
    network = run_pipeline(zoo.load("mobilenet-v3-small"), "attach-head{head=ssdlite,classes=20},expand-cells")
    assert network.outputs[1].type.static_shape[2] == 21
    graph = attached("nasnet-a-mobile", "head=classifier,classes=10")
    assert run_pipeline(graph, "expand-cells").outputs[0].type.shape == (1, 10)


def test_the_classifier_as_it_is() -> None:
    graph = zoo.load("mobilenet-v3-large")
    assert run_pipeline(graph, "attach-head{head=classifier}") is graph


def test_a_head_prints_and_parses() -> None:
    graph = attached("mobilenet-v3-large", "head=lr-aspp")
    assert "arch.lr_aspp(%last, %bneck6_depthwise, %image)" in print_graph(graph)
    assert print_graph(parse(print_graph(graph))) == print_graph(graph)


def test_head_and_width_and_resolution_together() -> None:
    graph = specialize(zoo.load("mobilenet-v3-large"), head="ssdlite-halved", width=0.75, resolution=192)
    network = expanded(graph)
    assert network.inputs[0].type.static_shape == (1, 192, 192, 3)
    assert network.outputs[0].type.static_shape == (1, 3 * 144 + 6 * (36 + 9 + 4 + 1 + 1), 4)


def test_a_space_takes_heads_where_what_they_need_is_closed() -> None:
    space = api.load("mobilenet-v3-layers", head="ssdlite")
    assert space.is_open
    assert expanded(run_pipeline(space, "decide{seed=1}")).output_names == ["boxes", "scores"]
    with pytest.raises(ModelError, match=r"its expansion is the open choice @bneck13\.expansion; close it first"):
        api.load("mobilenet-v3-layers", head="lr-aspp")


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("resnet-50", "head=ssdlite", r"head is 'ssdlite'; accepted for resnet-50 \(family resnet\): classifier"),
        ("mobilenet-v2", "head=lr-aspp", r"accepted for mobilenet-v2 .*: classifier or ssdlite$"),
        ("mobilenet-v3-large", "head=yolo", "head is 'yolo'; accepted: .*lr-aspp"),
        ("mobilenet-v3-large", "head=ssdlite,classes=-1", "classes is -1; accepted"),
        ("mobilenet-v3-large", "head=lr-aspp,output_stride=8", "output_stride is 8; accepted: 16, 32"),
        ("mobilenet-v3-large", "head=lr-aspp,filters=0", "filters is 0; accepted"),
    ],
)
def test_what_is_not_accepted(name: str, options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attached(name, options)


def test_a_graph_whose_classifier_is_gone() -> None:
    detector = attached("mobilenet-v3-small", "head=ssdlite")
    with pytest.raises(UsageError, match="has no classifier any more"):
        run_pipeline(detector, "attach-head{head=classifier}")
    with pytest.raises(ModelError, match=r"does not end in one arch\.classifier"):
        run_pipeline(detector, "attach-head{head=ssdlite}")
