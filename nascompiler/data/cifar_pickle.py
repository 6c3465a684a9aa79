"""The Python batches of CIFAR-10, which are pickles, read without unpickling: nothing in them is looked up or called.

A batch is a dictionary with `data`, an array of bytes [N, 3072], and `labels`, a list of N numbers. The instructions
of the pickle are followed as data; what they would import or call is only noted, and whatever is not needed for such
a dictionary is refused.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.errors import DataError

PIXELS = 3 * 32 * 32


@dataclass
class _Noted:
    """What a pickle would import, or make by a call, and the state it would then set."""

    name: str
    state: Any = None


@dataclass
class _Reader:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def read(self, content: bytes) -> Any:
        """The object that the instructions describe; raises ValueError for one that is not needed in a batch."""
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return self.stack.pop()
            self._follow(opcode.name, argument)
        raise ValueError("it has no end")

    def _follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _FIXED:
            stack.append(_FIXED[name]())
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(_Noted(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_Noted(f"{module}.{attribute}"))
        elif name in ("TUPLE", "LIST"):
            items = self._marked()
            stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "REDUCE":
            arguments, made = stack.pop(), stack.pop()
            stack.append(_called(made, arguments))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._marked()
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else self._marked()
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it uses the instruction {name}")

    def _marked(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


_LITERALS = frozenset(
    """INT BININT BININT1 BININT2 LONG LONG1 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE
    BINUNICODE SHORT_BINUNICODE BINUNICODE8""".split()
)
_FIXED: dict[str, Any] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_CALLED = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.dtype")


def _called(made: Any, arguments: Any) -> Any:
    """What a call would make: arrays and their element types are noted, bytes written as text are bytes again."""
    if isinstance(made, _Noted):
        if made.name in _CALLED:
            return _Noted(made.name)
        if made.name == "_codecs.encode" and len(arguments) == 2 and arguments[1] == "latin1":
            return _bytes(arguments[0])
    raise ValueError(f"it would call {made.name if isinstance(made, _Noted) else type(made).__name__}")


def _bytes(text: Any) -> bytes:
    return text.encode("latin1") if isinstance(text, str) else bytes(text)


def read_python_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [N, 3072], channel by channel, and labels [N] of a batch.

    Raises DataError for a file that cannot be read or holds, or would do, anything else.
    """
    try:
        batch = _Reader().read(path.read_bytes())
        found = {_bytes(key): value for key, value in batch.items()}
        pixels = _pixels(found[b"data"].state)
        labels = np.asarray(found[b"labels"])
        if labels.dtype.kind != "i" or labels.shape != pixels.shape[:1]:
            raise ValueError(f"it has {pixels.shape[0]} images and labels of shape {list(labels.shape)}")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path} is no Python batch of CIFAR-10: {error}; the binary version of the data set is accepted as well"
        ) from None
    return pixels, labels.astype(np.int64)


def _pixels(state: Any) -> NDArray[np.uint8]:
    """The array whose state is (version, shape, element type, order of Fortran, content)."""
    _, shape, _, fortran, content = state
    if len(shape) != 2 or shape[1] != PIXELS or fortran:
        raise ValueError(f"its data have the shape {shape}; accepted: (N, {PIXELS}), row by row")
    pixels: NDArray[np.uint8] = np.frombuffer(_bytes(content), np.uint8).reshape(shape)
    return pixels
