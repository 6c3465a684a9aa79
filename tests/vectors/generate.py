"""Writes the test vectors anew: `python -m tests.vectors.generate`. See README.md for what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from nascompiler.ir.ops import OPS
from nascompiler.ir.types import Array, DType
from tests.ir.op_examples import OpExample
from tests.ir.qnn_examples import EXAMPLES

FOLDER = Path(__file__).parent
INDEX, TENSORS = FOLDER / "qnn.json", FOLDER / "qnn.safetensors"
FORMAT = 1

LARGEST_TABLE = 1 << 8
"""Entries of the tables that are kept; those of 16 bits are left to the tests that make them on the spot."""


def contents() -> tuple[str, bytes]:
    """The text of the index and the bytes of the tensors."""
    tensors: dict[str, Array] = {}
    vectors = [_vector(number, example, tensors) for number, example in enumerate(filter(_is_small, EXAMPLES))]
    lines = ",\n".join("  " + json.dumps(vector) for vector in vectors)
    index = f'{{"format": {FORMAT}, "tensors": "{TENSORS.name}", "vectors": [\n{lines}\n]}}\n'
    return index, save(tensors)


def _is_small(example: OpExample) -> bool:
    table = example.operands[1] if example.op == "qnn.lookup" else None
    return table is None or table.size <= LARGEST_TABLE


def _vector(number: int, example: OpExample, tensors: dict[str, Array]) -> dict[str, Any]:
    op = OPS[example.op]
    name = f"{number:03d}.{example.op}"
    return {
        "name": name,
        "op": example.op,
        "attributes": {k: _plain(v) for k, v in op.complete_attributes(example.attributes).items()},
        "operands": [
            None if a is None else _stored(f"{name}.{_operand(op, i)}", a, tensors)
            for i, a in enumerate(example.operands)
        ],
        "results": [_stored(f"{name}.result{i}", a, tensors) for i, a in enumerate(example.results())],
    }


def _operand(op: Any, index: int) -> str:
    declared = op.operand_at(index)
    return f"{declared.name}{index}" if declared.variadic else str(declared.name)


def _stored(name: str, array: Array, tensors: dict[str, Array]) -> str:
    """The name under which an array is stored; one that is there already is not stored again."""
    for known, other in tensors.items():
        if other.dtype == array.dtype and other.shape == array.shape and other.tobytes() == array.tobytes():
            return known
    tensors[name] = np.ascontiguousarray(array).reshape(array.shape)
    return name


def _plain(value: Any) -> Any:
    if isinstance(value, DType):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def main() -> None:
    """Write both files."""
    index, tensors = contents()
    INDEX.write_text(index, encoding="utf-8")
    TENSORS.write_bytes(tensors)
    print(f"{INDEX.name}: {len(index)} bytes, {TENSORS.name}: {len(tensors)} bytes")


if __name__ == "__main__":
    main()
