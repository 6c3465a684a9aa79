"""What a kernel is: the parameters that fix its code, the arguments of its C function, and what emits its body."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer
from nascompiler.backends.target import Isa
from nascompiler.ir.types import DType

Sizes = Mapping[str, int]
"""The numbers that a kernel takes, by name."""

SHARE = ("chunk", "chunks")
"""The last two arguments of every kernel: it computes part `chunk` of `chunks` equal parts of its work."""


@dataclass(frozen=True)
class Rows:
    """How a kernel computes some rows of its result alone: with these sizes, given the address of the first of them.

    It reads the rows from `first` to `last` - 1 of x, and is given the address of its row `start`, which need not be
    among them; of a residual it reads the rows of the result, and is given the address of the first of those.
    """

    sizes: Sizes
    first: int
    last: int
    start: int

    @classmethod
    def of_pixels(cls, sizes: Sizes, first: int, last: int, height: int) -> Rows:
        """Of a kernel that computes each of `m` pixels, in so many rows, from the same pixel of x."""
        return cls({**sizes, "m": sizes["m"] // height * (last - first)}, first, last, first)

    @classmethod
    def of_windows(cls, sizes: Sizes, first: int, last: int, *, stride: int, extent: int, top: str) -> Rows:
        """Of a kernel with windows, so many rows high, whose size `top` is the rows of zeros above the image."""
        above = sizes[top] - first * stride
        changed = {top: above, "result_height": last - first}
        end = (last - first - 1) * stride + extent - above
        return cls({**sizes, **changed}, max(-above, 0), min(end, sizes["height"]), 0)


@dataclass(frozen=True)
class Kernel(ABC):
    """Code for a family of calls. The fields are what the code depends on; sizes arrive as arguments.

    Its C function is `int32 symbol(pointers..., int64 sizes..., int64 chunk, int64 chunks)`; the calls for all chunks,
    in any order or at the same time, compute the whole. It returns 0.
    """

    isa: Isa

    name: ClassVar[str]
    """What it computes, the stem of its symbol."""

    @property
    @abstractmethod
    def pointers(self) -> Mapping[str, DType]:
        """The arrays it takes, in order, with their element types; those it reads first, those it writes last."""

    @property
    @abstractmethod
    def sizes(self) -> tuple[str, ...]:
        """The numbers it takes behind the arrays, in order."""

    @abstractmethod
    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        """Emit the body: `p` are the pointers by name, `n` the sizes, `chunk` and `chunks` among them."""

    def some_rows(self, sizes: Sizes, height: int, first: int, last: int) -> Rows | None:
        """How it computes rows `first` to `last` - 1 of the `height` of one image, if it can by itself."""
        return None

    @property
    def symbol(self) -> str:
        """A name that tells what it is, unique for its fields and for the source that emits it."""
        parts = [self.name, self.isa.name]
        rest = [getattr(self, f.name) for f in fields(self) if f.name != "isa"]
        parts += [re.sub(r"\W+", "_", str(v)).strip("_") for v in rest if v not in ((), False, None, "none")]
        key = "\n".join([type(self).__qualname__, self.isa.text, *map(repr, rest), source_fingerprint()])
        return f"{'_'.join(parts)[:80]}_{hashlib.sha256(key.encode()).hexdigest()[:16]}"


@lru_cache(maxsize=1)
def source_fingerprint() -> str:
    """A hash of the source that emits kernels, and of what compiles them."""
    state = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in ("numba", "llvmlite")).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest()[:16]


def share(e: Emitter, count: Index, n: Mapping[str, Index]) -> tuple[Index, Index]:
    """First and last + 1 of the `count` pieces of work that this chunk has to do."""
    return count * n["chunk"] // n["chunks"], count * (n["chunk"] + 1) // n["chunks"]
