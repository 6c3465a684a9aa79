"""The six reference networks in torch, batch norms folded, with random weights that behave like trained ones.

The architectures are pytorchcv's, an independent definition; README.md has their counts beside those of the papers.
Convolutions are He-initialised and batch norms drawn at random, with the statistics of synthetic images, so that
activations keep their range through the whole network: no denormals, and int8 calibration has something sensible to do.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.peers.images import SIZE, images

BRANCHES = ("path1", "path2")
"""The two 1x1 convolutions of a NASNet path block, before their concatenation and one batch norm."""


@dataclass(frozen=True)
class Counts:
    """Parameters and multiply-adds (convolutions and fully connected layers) for one image."""

    parameters: int
    macs: int


def build(name: str) -> nn.Module:
    """The network in evaluation mode, [1, 3, 224, 224] -> [1, 1000]; the same weights in every process.

    Raises KeyError for a name that is not in NETWORKS.
    """
    torch.manual_seed(sum(map(ord, name)))
    network: nn.Module = ARCHITECTURES[name]()
    with torch.no_grad():
        _draw_weights(network)
        _settle_statistics(network)
        _fold_batch_norms(network)
        _use_plain_operators(network)
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


def count(network: nn.Module) -> Counts:
    """What the network holds and computes, by running it on one image."""
    macs = 0

    def add(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d | nn.Linear)
        macs += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        network(torch.zeros(1, 3, SIZE, SIZE))
    for hook in hooks:
        hook.remove()
    return Counts(sum(p.numel() for p in network.parameters()), macs)


def _pytorchcv(family: str) -> ModuleType:
    """pytorchcv.models.FAMILY without the package's `__init__`, which needs torchvision."""
    spec = find_spec("pytorchcv")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pytorchcv is not installed; benchmarks/peers/README.md says how")
    root = Path(spec.origin).parent
    for package in ("pytorchcv", "pytorchcv.models", "pytorchcv.models.common"):
        if package not in sys.modules:
            module = ModuleType(package)
            module.__path__ = [str(root.joinpath(*package.split(".")[1:]))]
            sys.modules[package] = module
    return importlib.import_module(f"pytorchcv.models.{family}")


def _mobilenet_v3_small() -> nn.Module:
    family = _pytorchcv("mobilenetv3")
    network: nn.Module = family.mobilenetv3_small_w1()
    network.output = family.MobileNetV3Classifier(576, 1000, 1024, 0.2)  # 1024, as in the paper's last version
    return network


ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "mobilenet_v1": lambda: _pytorchcv("mobilenet").mobilenet_w1(),
    # "b": no 1x1 convolution where the expansion is 1, as in the paper
    "mobilenet_v2": lambda: _pytorchcv("mobilenetv2").mobilenetv2b_w1(),
    "mobilenet_v3_large": lambda: _pytorchcv("mobilenetv3").mobilenetv3_large_w1(),
    "mobilenet_v3_small": _mobilenet_v3_small,
    "mnasnet_a1": lambda: _pytorchcv("mnasnet").mnasnet_a1(),
    "nasnet_mobile": lambda: _pytorchcv("nasnet").nasnet_4a1056(),
}


def _draw_weights(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
            if module.bias is not None:
                module.bias.uniform_(-0.1, 0.1)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            module.bias.uniform_(-0.1, 0.1)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.3)


def _settle_statistics(network: nn.Module) -> None:
    """Give every batch norm the mean and variance that it meets on synthetic images."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average of what it sees
        elif isinstance(module, nn.Dropout):
            module.eval()
    network(torch.from_numpy(images(16, seed=1)))
    network.eval()


def _fold_batch_norms(network: nn.Module) -> None:
    for module in network.modules():
        norm = getattr(module, "bn", None)
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        block: Any = module
        if hasattr(block, BRANCHES[0]):
            start = 0
            for branch in (getattr(block, name) for name in BRANCHES):
                channels = branch.conv.out_channels
                branch.conv = fuse_conv_bn_eval(branch.conv, _channels_of(norm, slice(start, start + channels)))
                start += channels
        elif isinstance(block.conv, nn.Conv2d):
            block.conv = fuse_conv_bn_eval(block.conv, norm)
        else:  # NASNet's separable convolution
            block.conv.pw_conv = fuse_conv_bn_eval(block.conv.pw_conv, norm)
        block.bn = nn.Identity()


def _channels_of(norm: nn.BatchNorm2d, part: slice) -> nn.BatchNorm2d:
    """The batch norm of some of the channels."""
    names = ("weight", "bias", "running_mean", "running_var")
    values = {name: getattr(norm, name)[part].clone() for name in names}
    result = nn.BatchNorm2d(len(values["weight"]), eps=norm.eps).eval()
    for name, value in values.items():
        getattr(result, name).data = value
    return result


class _SamePool(nn.Module):
    """TensorFlow's SAME pooling, 3x3 at stride 2 on an even size: padded at the right and at the bottom only."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "max":
            return functional.max_pool2d(x, 3, 2, padding=0, ceil_mode=True)
        return functional.avg_pool2d(x, 3, 2, padding=0, ceil_mode=True, count_include_pad=False)


class _SameSeparable(nn.Module):
    """NASNet's separable convolution with plain padding instead of pytorchcv's pad-then-crop."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.activation = source.activ
        self.depthwise = source.conv.dw_conv
        self.pointwise = source.conv.pw_conv
        after = self.depthwise.padding[0]
        before = after + 1 - self.depthwise.stride[0]
        self.pads = (before, after, before, after) if before != after else None
        if self.pads:
            self.depthwise.padding = (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(x)
        if self.pads:
            x = functional.pad(x, self.pads)
        result: Tensor = self.pointwise(self.depthwise(x))
        return result


def _use_plain_operators(network: nn.Module) -> None:
    """The same function in operators that every exporter knows: hard swish, global pooling, uneven padding."""
    for name, child in network.named_children():
        plain = _plain(child)
        if plain is not None:
            setattr(network, name, plain)
            continue
        if isinstance(child, nn.ReLU):
            child.inplace = False
        _use_plain_operators(child)


def _plain(module: Any) -> nn.Module | None:
    match type(module).__name__:
        case "HSwish":
            return nn.Hardswish()
        case "HSigmoid":
            return nn.Hardsigmoid()
        case "AvgPool2d" if module.kernel_size == 7 and module.stride == 1:
            return nn.AdaptiveAvgPool2d(1)
        case "NasMaxPoolBlock" if module.extra_padding:
            return _SamePool("max")
        case "NasAvgPoolBlock" if module.extra_padding:
            return _SamePool("average")
        case "NasDwsConv" if module.extra_padding:
            return _SameSeparable(module)
    return None
