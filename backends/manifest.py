"""The manifest of an artifact: what is in it, how it was made, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nascompiler.backends.measure.latency import Kind
from nascompiler.ir.errors import ModelError
from nascompiler.ir.types import DType, TensorType

FORMAT = 6
NAME = "manifest.json"


@dataclass(frozen=True)
class TensorSpec:
    """A named input or output. Shape and layout are the source model's."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, name: str, type: TensorType) -> TensorSpec:
        return cls(name, type.static_shape, str(type.dtype))

    @property
    def type(self) -> TensorType:
        return TensorType(self.shape, DType(self.dtype))


@dataclass(frozen=True)
class WeightSpec:
    """Where a weight stands in the blob: `offset` in bytes, a multiple of 64.

    One that `is_argument` is also given to the program by itself, behind the blob.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: str
    is_argument: bool = False


@dataclass(frozen=True)
class CallSpec:
    """One kernel call, in order: the nodes of the graph it computes, multiply-adds, bytes read and written, variant.

    `weight_bytes` is the part of the bytes that are constants.
    """

    symbol: str
    nodes: tuple[str, ...]
    ops: tuple[str, ...]
    macs: int
    bytes: int
    weight_bytes: int
    variant: str


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    `variants` has the variant chosen for each kernel call, by its canonical text, and `schedules` the text of the
    schedule of those that were searched for; `files` has the SHA-256 of every other file of the artifact by name;
    `regions` names the programs of a TPU, in the order in which they run.
    """

    name: str
    target: str
    fingerprint: str
    architecture: str
    features: tuple[str, ...]
    threads: int
    pipeline: str
    versions: Mapping[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weights: tuple[WeightSpec, ...]
    calls: tuple[CallSpec, ...]
    variants: Mapping[str, str]
    schedules: Mapping[str, str]
    files: Mapping[str, str]
    regions: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def kind(self) -> Kind:
        """How latencies of the artifact come about: the TPU is simulated."""
        return Kind.SIMULATED if self.regions else Kind.MEASURED

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of the artifact in `folder`; raises ModelError when there is none, or none we can read."""
        path = folder / NAME
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{folder} is no artifact: it has no {NAME}") from None
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot read {path}: {error}") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else None
            raise ModelError(
                f"{path} has format {found!r}; this version reads format {FORMAT}: compile the model again"
            )
        try:
            return cls(**_typed(data))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} is damaged: {error}") from None


def _typed(data: Mapping[str, Any]) -> dict[str, Any]:
    def tensors(items: Any) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(str(t["name"]), _sizes(t["shape"]), DType(t["dtype"]).value) for t in items)

    return {
        **data,
        "features": tuple(map(str, data["features"])),
        "inputs": tensors(data["inputs"]),
        "outputs": tensors(data["outputs"]),
        "weights": tuple(
            WeightSpec(_size(w["offset"]), _sizes(w["shape"]), DType(w["dtype"]).value, bool(w["is_argument"]))
            for w in data["weights"]
        ),
        "calls": tuple(
            CallSpec(
                str(c["symbol"]),
                tuple(c["nodes"]),
                tuple(c["ops"]),
                _size(c["macs"]),
                _size(c["bytes"]),
                _size(c["weight_bytes"]),
                str(c["variant"]),
            )
            for c in data["calls"]
        ),
        "variants": {str(k): str(v) for k, v in data["variants"].items()},
        "schedules": {str(k): str(v) for k, v in data["schedules"].items()},
        "regions": tuple(map(str, data.get("regions", ()))),
        "files": {str(k): str(v) for k, v in data["files"].items()},
    }


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    return tuple(map(_size, values))


def file_hash(content: bytes | memoryview) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
