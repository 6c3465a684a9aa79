"""Trained scales and zero points: the fused loops are what composing the ops is, numbers and gradients."""

import numpy as np
import pytest
import torch

from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.types import DType
from nascompiler.torch_bridge.fake_quantization import ActivationQuantizer, WeightQuantizer, fake_quantize
from nascompiler.torch_bridge.lowering.quantized import rounded


def composed(x, scale, low, high):
    return rounded(torch.clamp(x / scale, low, high)) * scale


def views():
    """Tensors [4, 5, 6, 3] in several orders of memory, side by side and with gaps."""
    yield "contiguous", lambda x: x
    yield "NCHW of NHWC", lambda x: x.permute(0, 3, 1, 2)
    yield "cut", lambda x: x[:, 1:4]
    yield "repeated", lambda x: x[:1].expand(4, 5, 6, 3)


@pytest.mark.parametrize("view", [pytest.param(v, id=name) for name, v in views()])
@pytest.mark.parametrize("dtype, zero_point", [(DType.I8, 20), (DType.I8, -128), (DType.U8, 255), (DType.I16, 0)])
def test_one_pass_gives_what_composing_gives(view, dtype, zero_point):
    given = torch.randn(4, 5, 6, 3) * 4
    found = []
    for function in (fake_quantize, composed):
        x = given.clone().requires_grad_()
        low, high = arithmetic.limits(dtype)
        scale = torch.tensor(0.05, requires_grad=True)
        zero = torch.tensor(float(zero_point), requires_grad=True)
        y = function(view(x), scale, low - zero, high - zero)
        (y * torch.arange(y.numel()).reshape(y.shape).sin()).sum().backward()
        found.append((y.detach(), x.grad, scale.grad, zero.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=0)
    for ours, theirs in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_activations_are_the_reference_to_the_last_bit():
    x = (np.random.default_rng(0).standard_normal((3, 7, 5, 2)) * 3).astype(np.float32)
    x.flat[:6] = [0.05, 0.15, -0.05, 1e30, -np.inf, 0]
    quantizer = ActivationQuantizer(0.1, -9, DType.I8)
    scale = float(quantizer.scale.detach())
    integers = arithmetic.quantize(x, scale, -9, DType.I8)
    np.testing.assert_array_equal(
        quantizer(torch.from_numpy(x)).detach().numpy(), arithmetic.dequantize(integers, scale, -9)
    )


def test_what_is_not_a_number_stays_so_that_a_training_which_diverges_is_seen():
    quantizer = ActivationQuantizer(0.1, 0, DType.I8)
    assert torch.isnan(quantizer(torch.tensor([1.0, torch.nan]))).tolist() == [False, True]


def test_scale_and_zero_point_learn_to_cover_a_range():
    values = torch.linspace(-1, 5, 1000)
    quantizer = ActivationQuantizer(0.01, 0, DType.I8)
    optimizer = torch.optim.Adam(
        [{"params": [quantizer.log_change], "lr": 0.02}, {"params": [quantizer.real_zero_point], "lr": 2.0}]
    )
    for _ in range(200):
        loss = (quantizer(values) - values).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 2 * (6 / 255) ** 2 / 12
    assert float(quantizer.scale.detach()) == pytest.approx(6 / 255, rel=0.1)
    assert int(quantizer.zero_point.detach()) == pytest.approx(-128 + 255 / 6, abs=6)


def test_a_zero_point_stays_within_the_type_and_in_the_middle_of_16_bits():
    quantizer = ActivationQuantizer(0.1, -128, DType.I8)
    with torch.no_grad():
        quantizer.real_zero_point -= 7
    assert int(quantizer.zero_point.detach()) == -128
    assert not ActivationQuantizer(0.1, 0, DType.I16).real_zero_point.requires_grad


def test_weights_have_a_scale_and_a_unit_for_each_channel():
    weight = torch.randn(3, 3, 2, 4)
    scale = np.array([0.01, 0.02, 0.03, 0.04], np.float32)
    unit = np.array([0.5, 1, 2, 4], np.float32)
    quantizer = WeightQuantizer(scale, -1, DType.I8, unit)
    real = weight * torch.from_numpy(unit)
    torch.testing.assert_close(quantizer.real(weight), real)
    made = quantizer(weight)
    integers = made / quantizer.scale
    torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-4)
    assert float(integers.detach().abs().max()) == pytest.approx(127)
    covered = real.abs() <= 126 * torch.from_numpy(scale)
    torch.testing.assert_close(made[covered], real[covered], rtol=0, atol=0.0201)
    made.square().sum().backward()
    assert quantizer.log_change.grad.abs().min() > 0
