"""Reading the test vectors."""

from __future__ import annotations

import json
from functools import lru_cache

from safetensors.numpy import load_file

from nascompiler.ir.ops import OPS
from nascompiler.ir.types import Array, DType
from tests.ir.op_examples import OpExample
from tests.vectors.generate import FORMAT, INDEX, TENSORS


@lru_cache(maxsize=1)
def vectors() -> tuple[tuple[OpExample, tuple[Array, ...]], ...]:
    """Each vector as an example of its op, and the results expected."""
    index, tensors = json.loads(INDEX.read_text(encoding="utf-8")), load_file(TENSORS)
    assert index["format"] == FORMAT
    return tuple(
        (
            OpExample(
                vector["op"],
                tuple(None if name is None else tensors[name] for name in vector["operands"]),
                {name: _value(vector["op"], name, value) for name, value in vector["attributes"].items()},
            ),
            tuple(tensors[name] for name in vector["results"]),
        )
        for vector in index["vectors"]
    )


def _value(op: str, name: str, value: object) -> object:
    declared = OPS[op].attribute(name)
    assert declared is not None
    if name == "dtype":
        return DType(value)
    return tuple(value) if isinstance(value, list) else value
