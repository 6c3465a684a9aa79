"""Fake quantisation with scales and zero points that are trained, as modules.

Each module quantises and dequantises in one step. What is trained of a scale is the logarithm of its change (as in
TQT, Jain et al. 2020, arXiv:1903.08066), so that it stays positive and one learning rate fits all magnitudes; the
gradient is that of LSQ (Esser et al. 2020, arXiv:1902.08153). A zero point is trained as a real number and used rounded
(as in LSQ+, Bhalgat et al. 2020, arXiv:2004.09576).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.ir.types import DType
from nascompiler.torch_bridge.lowering.quantized import along, rounded


class _Fused(torch.autograd.Function):
    """`fake_quantize` of float32 on the CPU, in one pass each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
        from nascompiler.torch_bridge import fake_quantization_kernels as kernels

        result = torch.empty_like(x)  # elements side by side, in the order of x where that is possible
        x = _as(x, result)
        kernels.forward(_flat(x), _number(scale), _number(low), _number(high), _flat(result))
        ctx.save_for_backward(x, scale, low, high)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        from nascompiler.torch_bridge import fake_quantization_kernels as kernels

        x, scale, low, high = ctx.saved_tensors
        (gradient,) = gradients
        to_x = torch.empty_like(x)
        to_numbers = kernels.backward(
            _flat(x), _flat(_as(gradient, x)), _number(scale), _number(low), _number(high), _flat(to_x)
        )
        return to_x, *(torch.tensor(number, dtype=torch.float32) for number in to_numbers)


def _as(x: Tensor, like: Tensor) -> Tensor:
    """x with its elements in memory as those of `like`, a copy where they are not."""
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)


def _flat(x: Tensor) -> NDArray[np.float32]:
    """The elements of a dense tensor in the order of memory."""
    array: NDArray[np.float32] = x.detach().as_strided((x.numel(),), (1,)).numpy()
    return array


def _number(tensor: Tensor) -> np.float32:
    return np.float32(tensor.item())


def fake_quantize(x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """rint(clamp(x / scale, low, high)) * scale, where low and high are whole numbers.

    That is the lowering of qnn.dequantize behind that of qnn.quantize, whose zero point moves low and high. The other
    tensors broadcast along x, and get gradients too.
    """
    if scale.ndim == 0 and x.device.type == "cpu" and x.dtype is scale.dtype is torch.float32:
        result: Tensor = _Fused.apply(x, scale, low, high)  # type: ignore[no-untyped-call]
        return result
    return rounded(torch.clamp(x / scale, low, high)) * scale


class ActivationQuantizer(nn.Module):
    """An activation, quantised at one scale and zero point. In 16 bits, which are symmetric, the zero point stays."""

    def __init__(self, scale: float, zero_point: int, dtype: DType) -> None:
        super().__init__()
        self.low, self.high = limits(dtype)
        self.register_buffer("first_scale", torch.tensor(scale, dtype=torch.float32))
        self.log_change = nn.Parameter(torch.zeros(()))
        self.real_zero_point = nn.Parameter(torch.tensor(float(zero_point)), requires_grad=dtype.bytes == 1)

    @property
    def scale(self) -> Tensor:
        """float32, of one number."""
        assert isinstance(self.first_scale, Tensor)
        return self.first_scale * torch.exp(self.log_change)

    @property
    def zero_point(self) -> Tensor:
        """A whole number within the limits of the type, as float32."""
        return rounded(self.real_zero_point.clamp(self.low, self.high))

    def forward(self, x: Tensor) -> Tensor:
        zero_point = self.zero_point
        return fake_quantize(x, self.scale, self.low - zero_point, self.high - zero_point)

    def extra_repr(self) -> str:
        return f"scale={float(self.scale)}, zero_point={int(self.zero_point)}"


class WeightQuantizer(nn.Module):
    """Weights, quantised symmetrically at a scale [O] or [1] along an axis.

    It takes them in a unit of each channel, [O]: weights that batch norm was folded into differ in magnitude by
    channel, and an optimizer whose steps do not follow the gradient's magnitude moves them by the same number of units.
    Units are powers of two, so that nothing is rounded.
    """

    def __init__(
        self, scale: NDArray[np.float32], axis: int, dtype: DType, unit: NDArray[np.float32] | float = 1.0
    ) -> None:
        super().__init__()
        _, high = limits(dtype)
        self.axis = axis
        self.register_buffer("high", torch.tensor(float(high)), persistent=False)
        self.register_buffer("unit", torch.as_tensor(unit, dtype=torch.float32).reshape(-1), persistent=False)
        self.register_buffer("first_scale", torch.tensor(scale))
        self.log_change = nn.Parameter(torch.zeros(scale.shape))

    @property
    def scale(self) -> Tensor:
        """float32 [O] or [1]."""
        assert isinstance(self.first_scale, Tensor)
        return self.first_scale * torch.exp(self.log_change)

    def real(self, weight: Tensor) -> Tensor:
        """The weights themselves, of weights in units."""
        assert isinstance(self.unit, Tensor)
        return weight * along(self.unit, self.axis, weight.ndim)

    def forward(self, weight: Tensor) -> Tensor:
        assert isinstance(self.high, Tensor)
        return fake_quantize(self.real(weight), along(self.scale, self.axis, weight.ndim), -self.high, self.high)
