"""Colours and words of the pictures."""

from __future__ import annotations

from collections.abc import Mapping

from nascompiler.ir import Attribute, Choice
from nascompiler.ir.attributes import SymbolRef
from nascompiler.ir.text.syntax import format_attribute

SEPARABLE, CONVOLUTION, MEAN, MAXIMUM = "#b7d3f2", "#cfc3ee", "#c5e4b8", "#f7d9a8"
NEUTRAL, JOINING, HEAD, INPUT = "#ececec", "#f4bfbf", "#f4d3dd", "#ffffff"

STAGES = ("#fff6d6", "#e9f3c4", "#cbe9c6", "#aedfd3", "#9fcfe3", "#a9bfe8", "#bfb3e6")
"""From the highest resolution to the lowest."""

CELL_OPS = {
    "identity": ("identity", NEUTRAL),
    "conv1x3_3x1": ("1×3, 3×1\nconv", CONVOLUTION),
    "conv1x7_7x1": ("1×7, 7×1\nconv", CONVOLUTION),
    "dilated3": ("dilated\n3×3", CONVOLUTION),
    "average3": ("avg\n3×3", MEAN),
    "max3": ("max\n3×3", MAXIMUM),
    "max5": ("max\n5×5", MAXIMUM),
    "max7": ("max\n7×7", MAXIMUM),
    "conv1": ("conv\n1×1", CONVOLUTION),
    "conv3": ("conv\n3×3", CONVOLUTION),
    "separable3": ("sep\n3×3", SEPARABLE),
    "separable5": ("sep\n5×5", SEPARABLE),
    "separable7": ("sep\n7×7", SEPARABLE),
}
"""The operations of cells, as NASNet's figure 4 writes them."""

ACTIVATIONS = {"relu": "ReLU", "relu6": "ReLU6", "hard_swish": "h-swish", "swish": "swish"}


def words(value: Attribute, choices: Mapping[str, Choice]) -> str:
    """An attribute in few letters; where a choice is open, its options."""
    if isinstance(value, SymbolRef):
        options = choices[value.name].options if value.name in choices else ()
        return "{" + ", ".join(words(option, choices) for option in options) + "}" if options else f"@{value.name}"
    if isinstance(value, str):
        return ACTIVATIONS.get(value, value.replace("_", " "))
    if isinstance(value, float):
        return f"{value:g}"
    return format_attribute(value)


def quantity(number: int) -> str:
    """A count with three digits and its magnitude."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}" if number / size < 999.5 else f"{number / size:.0f}{unit}"
    return str(number)
