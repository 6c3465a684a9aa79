"""MnasNet's notation of blocks, `r3_k5_s22_e3_i24_o40_se0.25` (arXiv:1807.11626, released code), read and written.

`r` repeats, `k` kernel, `s` stride along height and width, `e` expansion (1: no expanding convolution), `i` and `o`
input and output filters, `se` the squeeze-excite ratio, `noskip` where no residual is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nascompiler.ir import Builder, Graph, UsageError

EXAMPLE = "r3_k5_s22_e3_i24_o40_se0.25_noskip"

_WHOLE = re.compile(r"[1-9]\d{0,5}")
_NUMBER = re.compile(r"\d{1,5}(\.\d{1,6})?")
_FIELDS = {
    "r": ("repeats", _WHOLE, "whole numbers from 1 on"),
    "k": ("kernel", _WHOLE, "whole numbers from 1 on"),
    "s": ("stride", re.compile(r"([1-9])\1"), "the stride twice, for height and width, as 11 or 22"),
    "e": ("expansion", _NUMBER, "numbers"),
    "i": ("input_filters", _WHOLE, "whole numbers from 1 on"),
    "o": ("filters", _WHOLE, "whole numbers from 1 on"),
    "se": ("se_ratio", _NUMBER, "numbers from 0 to 1"),
}
_PART = re.compile("(se|[rkseio])(.*)")


@dataclass(frozen=True)
class BlockString:
    """One block: `repeats` layers, of which the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: float
    input_filters: int
    filters: int
    se_ratio: float = 0.0
    skip: bool = True

    @classmethod
    def parse(cls, text: str) -> BlockString:
        """Read a block; raises UsageError listing every field that is unknown, missing or has no accepted value."""
        values: dict[str, Any] = {}
        wrong = []
        for part in text.split("_"):
            if part == "noskip":
                values["skip"] = False
                continue
            match = _PART.fullmatch(part)
            if match is None:
                wrong.append(f"unknown field {part!r}; accepted: {', '.join(_FIELDS)} with a number, noskip")
                continue
            field, pattern, accepted = _FIELDS[match[1]]
            if field in values:
                wrong.append(f"{match[1]} ({field}) is given twice")
            if not pattern.fullmatch(match[2]) or (field == "se_ratio" and float(match[2]) > 1):
                wrong.append(f"{match[1]} ({field}) is {match[2]!r}; accepted: {accepted}")
                continue
            values[field] = _value(field, match[2])
        optional = ("se_ratio", "skip")
        given = {match[1] for part in text.split("_") if (match := _PART.fullmatch(part))}
        wrong += [
            f"{letter} ({field}) is missing"
            for letter, (field, *_) in _FIELDS.items()
            if field not in optional and letter not in given
        ]
        if wrong:
            raise UsageError(f"block string {text!r}: {'; '.join(wrong)} (example: {EXAMPLE})")
        return cls(**values)

    @classmethod
    def of(cls, attributes: Mapping[str, Any], input_filters: int) -> BlockString:
        """The notation of an `arch.block`; raises UsageError for what it cannot express."""
        if attributes["op"] == "conv" or attributes["skip"] == "pooling":
            raise UsageError("block strings know neither regular convolutions nor pooling skips")
        return cls(
            attributes["repeats"],
            attributes["kernel"],
            attributes["stride"],
            1.0 if attributes["op"] == "depthwise_separable" else attributes["expansion"],
            input_filters,
            attributes["filters"],
            attributes["se_ratio"],
            attributes["skip"] == "identity",
        )

    def attributes(self) -> dict[str, Any]:
        """The attributes of the `arch.block`."""
        return {
            "kernel": self.kernel,
            "expansion": self.expansion,
            "filters": self.filters,
            "stride": self.stride,
            "repeats": self.repeats,
            "se_ratio": self.se_ratio,
            "skip": "identity" if self.skip else "none",
        }

    def __str__(self) -> str:
        parts = [
            f"r{self.repeats}",
            f"k{self.kernel}",
            f"s{self.stride}{self.stride}",
            f"e{self.expansion:g}",
            f"i{self.input_filters}",
            f"o{self.filters}",
        ]
        parts += [f"se{self.se_ratio:g}"] if self.se_ratio else []
        return "_".join(parts + ([] if self.skip else ["noskip"]))


def mnasnet(
    blocks: Sequence[str], *, name: str = "mnasnet", stem: int = 32, head: int = 1280, dropout: float = 0.2
) -> Graph:
    """The architecture, for images of 224 pixels, with these blocks between stem and head (MnasNet §4.1, figure 7).

    Raises UsageError for block strings that are not accepted, all at once.
    """
    faults, parsed = [], []
    for text in blocks:
        try:
            parsed.append(BlockString.parse(text))
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))
    builder = Builder(name)
    builder.graph.attributes["family"] = "mnasnet"
    x = builder.arch.conv(builder.input("image", (1, 224, 224, 3)), name="stem", filters=stem, stride=2)
    for index, block in enumerate(parsed, 1):
        x = builder.arch.block(x, name=f"block{index}", **block.attributes())
    x = builder.arch.conv(x, name="last", filters=head, kernel=1)
    return builder.outputs(logits=builder.arch.classifier(x, name="logits", dropout=dropout))


def _value(field: str, text: str) -> int | float:
    if field == "stride":
        return int(text[0])
    return float(text) if field in ("expansion", "se_ratio") else int(text)
