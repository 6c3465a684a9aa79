"""What all blocks of one family of networks share, as data; the graph's attribute `family` names the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nascompiler.ir import Graph, UsageError
from nascompiler.ir.errors import unknown

Scaling = Literal["always", "above_one", "never"]
"""When a width multiplier applies: always, only when it is larger than 1, or never."""


@dataclass(frozen=True)
class Family:
    """The conventions of a family.

    `epsilon` is that of its batch norms. `squeeze_of` says whether squeeze-excite ratios refer to the input of the
    block or to its expansion, `squeeze_divisor` to multiples of what the squeezed channels are rounded (1: down to
    integers), `gate` what squeeze-excite ends in. `expansion_divisor` rounds expanded channels likewise.
    `separable_activation` says whether the 1x1 convolution of depthwise-separable blocks is followed by the
    activation or linear. `padding` places the zeros of `same` convolutions as TensorFlow does (more at the end) or
    evenly, as PyTorch does.

    Width multipliers round to multiples of `channel_divisor`; `last_convolution` says when they apply to the 1x1
    convolution behind the blocks, `hidden_layer` when to the classifier's hidden layer.
    """

    name: str
    source: str
    epsilon: float = 1e-3
    squeeze_of: Literal["input", "expansion"] = "expansion"
    squeeze_divisor: int = 8
    gate: Literal["sigmoid", "hard_sigmoid"] = "hard_sigmoid"
    expansion_divisor: int = 8
    separable_activation: bool = False
    padding: Literal["same", "symmetric"] = "same"
    channel_divisor: int = 8
    last_convolution: Scaling = "always"
    hidden_layer: Scaling = "always"

    def scaled(self, channels: int, multiplier: float, when: Scaling = "always") -> int:
        """Channels under a width multiplier; at 1.0 they stay as they are, without rounding (MnasNet's code)."""
        if multiplier == 1.0 or when == "never" or (when == "above_one" and multiplier < 1.0):
            return channels
        return make_divisible(channels * multiplier, self.channel_divisor)

    def expanded(self, channels: int, expansion: float) -> int:
        """Channels inside a block of `channels` input channels."""
        return make_divisible(channels * expansion, self.expansion_divisor)

    def squeezed(self, input_channels: int, expanded_channels: int, ratio: float) -> int:
        """Channels of the first fully connected layer of squeeze-excite."""
        reference = input_channels if self.squeeze_of == "input" else expanded_channels
        return make_divisible(reference * ratio, self.squeeze_divisor)


def make_divisible(value: float, divisor: int) -> int:
    """`value` rounded to a multiple of `divisor`, at least that and never below 90 % of `value`.

    With divisor 1, `value` is cut to an integer, at least 1. As in the released code of MobileNetV2, V3 and MnasNet.
    """
    if divisor == 1:
        return max(1, int(value))
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


FAMILIES = {
    family.name: family
    for family in (
        Family("plain", "no paper: the defaults of a graph that names no family", expansion_divisor=1),
        Family("mobilenet-v1", "Howard et al. 2017, arXiv:1704.04861, section 3", separable_activation=True),
        Family("mobilenet-v2", "Sandler et al. 2018, arXiv:1801.04381, section 3", last_convolution="above_one"),
        Family("mobilenet-v3", "Howard et al. 2019, arXiv:1905.02244, section 5", hidden_layer="above_one"),
        Family(
            "mnasnet",
            "Tan et al. 2019, arXiv:1807.11626, section 4",
            squeeze_of="input",
            squeeze_divisor=1,
            gate="sigmoid",
            expansion_divisor=1,
            last_convolution="never",
        ),
        Family("nasnet", "Zoph et al. 2018, arXiv:1707.07012, section 3", channel_divisor=2),
        Family("nasnet-cifar", "Zoph et al. 2018, arXiv:1707.07012, section 4.1", epsilon=1e-5, channel_divisor=2),
        Family(
            "resnet",
            "He et al. 2016, arXiv:1512.03385, section 4.1; stride in the 3x3 convolution (v1.5)",
            epsilon=1e-5,
            padding="symmetric",
        ),
        Family("tpu", "Jouppi et al. 2017, arXiv:1704.04760, table 1", epsilon=1e-5, channel_divisor=1),
    )
}


def family_of(graph: Graph) -> Family:
    """The family that the graph's attribute `family` names, `plain` without one; raises UsageError if unknown."""
    name = graph.attributes.get("family", "plain")
    if not isinstance(name, str):
        raise UsageError(f"the graph's attribute family is {name!r}; accepted: a name")
    if name not in FAMILIES:
        raise unknown("family", name, FAMILIES)
    return FAMILIES[name]
