"""A fake-quantised network as a module with trained ranges, and back into the same graph."""

import numpy as np
import pytest
import torch

from nascompiler.ir import UsageError, evaluate, structurally_equal, verify
from nascompiler.passes import run_pipeline
from nascompiler.passes.quantization.quantizer import Settings, quantize_graph
from nascompiler.torch_bridge import to_module
from nascompiler.torch_bridge.quantization_aware import from_quantization_aware, to_quantization_aware
from tests.torch_bridge.comparing import assert_agrees
from tests.torch_bridge.networks import Blocks, images, mobile_net

A_TIE = 0.03
"""Of the largest logit: float sums in another order may send a number halfway between two integers to the other one."""


def quantized(**settings):
    graph = mobile_net(batch=1)
    return quantize_graph(graph, [images(graph, seed) for seed in range(4)], Settings(**settings))


def disturb(trained):
    """Move every parameter a little, as training does."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in trained.module.named_parameters():
            size = 3.0 if name.endswith("zero_point") else 0.05
            parameter += size * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("settings", [{}, {"per_channel": False, "tables": True}], ids=["default", "coarse"])
def test_the_module_is_the_graph_before_and_after_training(settings):
    fake = quantized(**settings).fake
    trained = to_quantization_aware(fake)
    inputs = images(fake, 7)
    assert_agrees(trained.module.eval().run(inputs), evaluate(fake, inputs), tolerance=A_TIE)
    disturb(trained)
    back = from_quantization_aware(fake, trained)
    verify(back)
    made = trained.module.run(inputs)
    assert_agrees(made, evaluate(back, inputs), tolerance=A_TIE)
    assert_agrees(to_module(back).eval().run(inputs), made, tolerance=A_TIE)
    assert not np.allclose(made["logits"], evaluate(fake, inputs)["logits"], atol=1e-3)


def test_quantised_tensors_are_identical_away_from_ties():
    """Every value that is quantised, in the evaluator and in torch."""
    fake = quantized().fake
    trained = to_quantization_aware(fake)
    disturb(trained)
    back = from_quantization_aware(fake, trained)
    inputs = images(back, 3)
    seen = {}
    evaluate(back, inputs, observe=lambda value, array: seen.__setitem__(value, array))
    calls = []
    for place, quantizer in trained.activations.items():
        node = list(back.nodes)[place]
        calls.append((node, quantizer))
    for node, quantizer in calls:
        x = seen.get(node.operands[0], inputs.get(node.operands[0].name))
        (restored,) = node.result.users
        made = quantizer(torch.from_numpy(np.array(x))).detach().numpy()
        np.testing.assert_array_equal(made, seen[restored.result])


def test_the_structure_is_kept_up_to_the_integers():
    result = quantized()
    trained = to_quantization_aware(result.fake)
    disturb(trained)
    back = from_quantization_aware(result.fake, trained)
    assert [n.op.name for n in back.nodes] == [n.op.name for n in result.fake.nodes]
    assert [v.name for v in back.constants] == [v.name for v in result.fake.constants]
    integers = run_pipeline(back, "fake-quantization-to-integer")
    assert [n.op.name for n in integers.nodes] == [n.op.name for n in result.graph.nodes]


def test_values_that_share_a_scale_keep_sharing_it():
    result = quantized()
    trained = to_quantization_aware(result.fake)
    shared = [group for group in result.plan.groups if len(group) > 1]
    assert shared
    assert len(set(trained.activations.values())) == len(result.plan.groups)
    disturb(trained)
    back = from_quantization_aware(result.fake, trained)
    concat = next(n for n in back.nodes if n.op.name == "nn.concat")
    ranges = {(v.producer["x_scale"], v.producer["x_zero_point"]) for v in concat.operands}
    assert len(ranges) == 1


def test_an_untrained_module_gives_the_graph_back_with_biases_as_integers_have_them():
    fake = quantized().fake
    back = from_quantization_aware(fake, to_quantization_aware(fake))
    assert structurally_equal(*(run_pipeline(graph, "fake-quantization-to-integer") for graph in (fake, back)))
    biases = 0
    for ours, theirs in zip(back.nodes, fake.nodes, strict=True):
        for index, (value, before) in enumerate(zip(ours.operands, theirs.operands, strict=True)):
            if value.array is None:
                continue
            if index == 2:
                weight_scale = ours.operands[1].producer.operands[1].array
                step = weight_scale * np.float32(ours.operands[0].producer["x_scale"])
                np.testing.assert_allclose(value.array / step, np.rint(value.array / step), rtol=1e-6, atol=1e-3)
                assert (np.abs(value.array - before.array) <= 0.51 * step).all()
                biases += 1
            else:
                np.testing.assert_array_equal(value.array, before.array)
    assert biases > 5


def test_integers_agree_with_the_graph_but_for_ties():
    """Because biases are rounded as integers have them."""
    result = quantized()
    trained = to_quantization_aware(result.fake)
    disturb(trained)
    back = from_quantization_aware(result.fake, trained)
    integers = run_pipeline(back, "fake-quantization-to-integer")
    for seed in range(3):
        inputs = images(back, seed)
        assert_agrees(evaluate(integers, inputs), evaluate(back, inputs), tolerance=A_TIE)


def test_gradients_reach_weights_biases_scales_and_zero_points():
    fake = quantized().fake
    trained = to_quantization_aware(fake)
    trained.module(torch.randn(3, 16, 16, 3) * 3).square().sum().backward()
    for name, parameter in trained.module.named_parameters():
        assert parameter.grad is not None, name
    moved = [p.grad.abs().sum() > 0 for p in trained.module.parameters()]
    assert sum(moved) > 0.8 * len(moved)


def test_weights_that_are_used_twice_are_trained_at_fixed_scales():
    b = Blocks()
    x = b.builder.input("x", (1, 4))
    weight = b.weight("shared", 4, 4)
    y = b.builder.nn.linear(b.builder.nn.relu(b.builder.nn.linear(x, weight)), weight)
    y = b.builder.nn.linear(y, b.weight("last", 4, 2))
    graph = b.builder.outputs(y=y)
    fake = quantize_graph(graph, [images(graph, seed) for seed in range(3)]).fake
    trained = to_quantization_aware(fake)
    assert len(trained.weights) == 1
    shared = trained.module.get_parameter("shared")
    assert shared.requires_grad
    disturb(trained)
    back = from_quantization_aware(fake, trained)
    assert_agrees(trained.module.eval().run(images(graph)), evaluate(back, images(graph)), tolerance=A_TIE)


def test_a_graph_without_float_weights_is_refused():
    with pytest.raises(UsageError, match="there are no weights to train"):
        to_quantization_aware(quantized().graph)
