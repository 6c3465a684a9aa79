"""What a picture of a network says about each node of an architecture: a title, details, repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nascompiler.ir import Choice, Node
from nascompiler.ir.attributes import SymbolRef
from nascompiler.pictures.palette import words

Words = Callable[[str], str]
"""Attribute -> what it is, in words; options where it is open."""


@dataclass(frozen=True)
class Row:
    """The texts of one box; `repeats` is empty for one layer."""

    title: str
    details: tuple[str, ...] = ()
    repeats: str = ""
    head: bool = False


def describe(node: Node, choices: Mapping[str, Choice]) -> Row:
    """The texts for a node; one without words of its own is shown by op and attributes."""

    def say(attribute: str) -> str:
        return words(node[attribute], choices)

    made = _DESCRIBERS.get(node.op.name, _other)(node, say)
    repeats = say("repeats") if "repeats" in node.attributes else "1"
    return Row(made.title, tuple(filter(None, made.details)), "" if repeats == "1" else f"×{repeats}", made.head)


def _window(say: Words, attribute: str = "kernel") -> str:
    size = say(attribute)
    return f"{size}×{size}" if size.isdigit() else f"k = {size}"


def _activation(say: Words) -> str:
    return say("activation").replace("none", "linear")


def _stride(node: Node, say: Words) -> str:
    return "" if node["stride"] == 1 else f"stride {say('stride')}"


def _dilation(node: Node, say: Words) -> str:
    return "" if node["dilation"] == 1 else f"dilation {say('dilation')}"


def _conv(node: Node, say: Words) -> Row:
    valid = "valid padding" if node["padding"] == "valid" else ""
    plain = "" if node["batch_norm"] else "no batch norm"
    details = (f"{say('filters')} filters", _stride(node, say), _dilation(node, say), _activation(say), valid, plain)
    return Row(f"Conv {_window(say)}", details)


KINDS = {"inverted_bottleneck": "MBConv", "depthwise_separable": "Separable conv", "conv": "Conv"}


def _block(node: Node, say: Words) -> Row:
    op, expansion = node["op"], f"expansion {say('expansion')}"
    if isinstance(op, SymbolRef):
        kind = say("op").replace("inverted bottleneck", "MBConv").replace("depthwise separable", "separable conv")
    else:
        kind = KINDS[op]
        if op != "inverted_bottleneck":
            expansion = ""
        elif not isinstance(node["expansion"], SymbolRef):
            kind, expansion = f"{kind}{say('expansion')}", ""
    title = f"{kind} {_window(say)}"
    details = (
        f"{say('filters')} filters",
        _stride(node, say),
        _dilation(node, say),
        expansion,
        "" if node["se_ratio"] == 0 else f"SE {say('se_ratio')}",
        _activation(say),
        {"identity": "", "none": "no skip"}.get(node["skip"], f"skip {say('skip')}"),
        "" if node["endpoint"] == "none" else f"tap {say('endpoint')}",
    )
    return Row(title, details)


def _bottleneck(node: Node, say: Words) -> Row:
    wide: Any = "?"
    if isinstance(node["filters"], int) and isinstance(node["expansion"], int):
        wide = node["filters"] * node["expansion"]
    details = (f"{say('filters')}, {say('filters')}, {wide} filters", _stride(node, say), _activation(say))
    return Row("Bottleneck 1×1, 3×3, 1×1", details)


def _pool(node: Node, say: Words) -> Row:
    return Row(f"{say('kind').capitalize()} pool {_window(say)}", (_stride(node, say),))


def _cell(node: Node, say: Words) -> Row:
    stride = _stride(node, say) if "stride" in node.attributes else ""
    return Row(f"{node['cell'].name.capitalize()} cell", (f"{say('filters')} filters", stride))


def _inception(node: Node, say: Words) -> Row:
    first, last = ([str(node["single"])] if node["single"] else []), node["projection"]
    branches = [*first, *("→".join(map(str, node[n])) for n in ("triple", "double_triple") if node[n])]
    pool = f"{say('pool')} pool" + (f"→{last}" if last else "")
    return Row("Inception", (", ".join([*branches, pool]), _stride(node, say)))


def _dense(node: Node, say: Words) -> Row:
    return Row(f"Dense {say('units')}", (_activation(say),))


def _lstm(node: Node, say: Words) -> Row:
    return Row(f"LSTM {say('units')}", ("residual" if node["residual"] else "", "stateful" if node["stateful"] else ""))


def _classifier(node: Node, say: Words) -> Row:
    hidden = f"dense {say('hidden')} {_activation(say)}" if node["hidden"] else ""
    before = "" if node["activation_before"] == "none" else say("activation_before")
    dropout = f"dropout {say('dropout')}" if node["dropout"] else ""
    return Row("Classifier", (before, "global pool", hidden, dropout, f"{say('classes')} classes"), head=True)


def _ssdlite(node: Node, say: Words) -> Row:
    return Row("SSDLite", ("4 extra maps", f"{say('classes')} classes + background"), head=True)


def _lr_aspp(node: Node, say: Words) -> Row:
    return Row("LR-ASPP", (f"{say('filters')} filters", f"{say('classes')} classes"), head=True)


def _other(node: Node, say: Words) -> Row:
    return Row(node.op.name, tuple(f"{name} {say(name)}" for name in node.attributes if name != "repeats"))


_DESCRIBERS: dict[str, Callable[[Node, Words], Row]] = {
    "arch.conv": _conv,
    "arch.block": _block,
    "arch.bottleneck": _bottleneck,
    "arch.pool": _pool,
    "arch.cell": _cell,
    "arch.stack": _cell,
    "arch.inception": _inception,
    "arch.dense": _dense,
    "arch.lstm": _lstm,
    "arch.classifier": _classifier,
    "arch.ssdlite": _ssdlite,
    "arch.lr_aspp": _lr_aspp,
}
