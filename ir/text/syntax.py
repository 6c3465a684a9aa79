"""How types, attributes and names are spelled; the lexer and the parser read exactly this."""

from __future__ import annotations

import json
import re

from nascompiler.ir.attributes import Attribute, SymbolRef
from nascompiler.ir.types import DType, Quantization, TensorType

VERSION = 1
"""Version of the text form, the number on the first line of a file."""

INLINE_ELEMENTS = 8
"""Constants up to this many elements print their values; larger ones their hash."""

UNKNOWN = TensorType(None)
"""The type of results of which nothing is known yet; it is not printed."""

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-/]*"
"""A name after a sigil."""
WORD = r"[A-Za-z_][A-Za-z0-9_.\-/]*"
"""A name without a sigil: of an op, an attribute, an output, a symbolic size."""
_BARE_NAME = re.compile(NAME)
_BARE_WORD = re.compile(WORD)
_BARE_STRING = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
_RESERVED = {"true", "false", "inf", "nan", *(d.value for d in DType)}


def format_name(name: str) -> str:
    """A name after its sigil: bare when it can be, else quoted."""
    return name if _BARE_NAME.fullmatch(name) else json.dumps(name)


def format_word(name: str) -> str:
    """A name that stands without a sigil: bare when it can be, else quoted."""
    return name if _BARE_WORD.fullmatch(name) and name not in ("inf", "nan") else json.dumps(name)


def format_float(value: float) -> str:
    """The shortest text that reads back as the same float, recognisable as a float."""
    return repr(float(value))


def format_attribute(value: Attribute) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, (int, DType)):
        return str(value)
    if isinstance(value, SymbolRef):
        return f"@{format_name(value.name)}"
    if isinstance(value, str):
        bare = _BARE_STRING.fullmatch(value) and value not in _RESERVED
        return value if bare else json.dumps(value)
    return "[" + ", ".join(map(format_attribute, value)) + "]"


def format_type(type: TensorType) -> str:
    """`f32[1,224,224,3]`; `?` for an unknown dimension, `[*]` for an unknown rank, a name for a symbolic size."""
    if type.shape is None:
        dims = "*"
    else:
        dims = ",".join("?" if d is None else str(d) if isinstance(d, int) else format_word(d) for d in type.shape)
    return f"{type.dtype}[{dims}]" + (format_quantization(type.quantization) if type.quantization else "")


def format_quantization(q: Quantization) -> str:
    """`<scale=0.02, zero_point=3>`, or lists and an axis when it differs along an axis."""
    if q.axis is None:
        return f"<scale={format_float(q.scale[0])}, zero_point={q.zero_point[0]}>"
    scales = ", ".join(map(format_float, q.scale))
    return f"<axis={q.axis}, scale=[{scales}], zero_point=[{', '.join(map(str, q.zero_point))}]>"
