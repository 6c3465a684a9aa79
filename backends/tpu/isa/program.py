"""A program with all it needs to run: instructions, the image of weight memory, names of layers, host tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.opcodes import RECORD, Records
from nascompiler.ir.errors import ModelError

MAGIC = b"NTPU"
VERSION = 1
_HEADER_BYTES = 32


@dataclass(frozen=True)
class HostTensor:
    """A tensor in host memory: byte offset, shape and element type (a NumPy name), dense and row-major."""

    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Program:
    """What a TPU runs. `array` is the side of the systolic array that the tiles in `weights` were cut for."""

    instructions: Records
    weights: NDArray[np.uint8]
    array: int
    tags: tuple[str, ...] = ()
    host_bytes: int = 0
    inputs: Mapping[str, HostTensor] = field(default_factory=dict)
    outputs: Mapping[str, HostTensor] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The instructions with header, names and tensors; weights are a blob of their own."""
        facts = {
            "tags": list(self.tags),
            "host_bytes": self.host_bytes,
            "inputs": {name: _tensor_facts(tensor) for name, tensor in self.inputs.items()},
            "outputs": {name: _tensor_facts(tensor) for name, tensor in self.outputs.items()},
        }
        text = json.dumps(facts).encode()  # tensors stay in order: x2 comes before x10
        header = np.array([VERSION, self.array, len(self.instructions), len(text)], "<u4").tobytes()
        return (MAGIC + header).ljust(_HEADER_BYTES, b"\0") + self.instructions.tobytes() + text

    @staticmethod
    def from_bytes(data: bytes, weights: NDArray[np.uint8] | None = None) -> Program:
        """Read what `to_bytes` wrote; raises ModelError for anything else."""
        if data[:4] != MAGIC:
            raise ModelError("not a TPU program: it does not begin with NTPU")
        if len(data) < _HEADER_BYTES:
            raise ModelError(f"the TPU program is truncated: {len(data)} bytes, its header has {_HEADER_BYTES}")
        version, array, count, text_bytes = (int(n) for n in np.frombuffer(data, "<u4", 4, 4))
        if version != VERSION:
            raise ModelError(f"the TPU program has version {version}; this release reads {VERSION}")
        end = _HEADER_BYTES + count * RECORD.itemsize
        if len(data) != end + text_bytes:
            raise ModelError(
                f"the TPU program is truncated: its header says {count} instructions and {text_bytes} bytes of names, "
                f"{end + text_bytes} bytes in all; there are {len(data)}"
            )
        try:
            facts: dict[str, Any] = json.loads(data[end:])
            inputs, outputs = (
                {name: HostTensor(entry["offset"], tuple(entry["shape"]), entry["dtype"]) for name, entry in part}
                for part in (facts["inputs"].items(), facts["outputs"].items())
            )
            tags, host_bytes = tuple(facts["tags"]), int(facts["host_bytes"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"the names in the TPU program cannot be read: {error}") from error
        records = np.frombuffer(data, RECORD, count, _HEADER_BYTES).copy()
        blob = np.zeros(0, np.uint8) if weights is None else weights
        return Program(records, blob, array, tags, host_bytes, inputs, outputs)


def _tensor_facts(tensor: HostTensor) -> dict[str, Any]:
    return {"offset": tensor.offset, "shape": list(tensor.shape), "dtype": tensor.dtype}
