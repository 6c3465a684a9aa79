"""What a network takes: how samples are laid out in its inputs, and which input is an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nascompiler.ir import Array, DType, Graph, TensorType
from nascompiler.ir.errors import UsageError
from nascompiler.source import original_model

Sample = dict[str, Array]
"""An array for each input, by name; its first axis counts samples, one or as many as the network takes at once."""

CHANNELS = (1, 3)


def input_types(graph: Graph) -> dict[str, TensorType]:
    """The types of a graph's inputs by name. Raises UsageError where a size other than the first is open."""
    types = {v.name: v.type for v in graph.inputs}
    open_ = [f"{n!r} ({t})" for n, t in types.items() if t.shape is None or not _sizes(t.shape[1:])]
    if open_:
        raise UsageError(f"{graph.name}: sizes of {', '.join(open_)} are open; give them by --shape")
    if not types:
        raise UsageError(f"{graph.name} has no inputs: there is nothing to calibrate with")
    return types


def _sizes(dims: tuple[Any, ...]) -> bool:
    return all(isinstance(d, int) for d in dims)


def _shape(type: TensorType) -> tuple[Any, ...]:
    assert type.shape is not None
    return type.shape


def entries_of(array: Array, name: str, type: TensorType, where: str) -> Array:
    """A view [K, samples, ...] of stacked samples: [N, ...] for an input [1, ...], or [K, *input].

    `where` names what holds the array. Raises UsageError when shape or element type do not fit the input.
    """
    check_dtype(array.dtype, name, type, where)
    shape = _shape(type)
    if array.ndim == len(shape) + 1 and _fits(array.shape[1:], shape):
        return array
    if shape and array.ndim == len(shape) and _fits(array.shape[1:], shape[1:]):
        return array[:, None]
    raise _unfit(array.shape, array.dtype, name, type, where)


def one_entry(array: Array, name: str, type: TensorType, where: str) -> Array:
    """One sample, or several along the first axis, as [samples, ...]. Raises as `entries_of`."""
    check_dtype(array.dtype, name, type, where)
    shape = _shape(type)
    if array.ndim == len(shape) and (not shape or _fits(array.shape[1:], shape[1:])):
        return array
    if shape and array.ndim == len(shape) - 1 and _fits(array.shape, shape[1:]):
        return array[None]
    raise _unfit(array.shape, array.dtype, name, type, where)


def _fits(given: tuple[int, ...], wanted: tuple[Any, ...]) -> bool:
    return len(given) == len(wanted) and all(
        w == g or not isinstance(w, int) for g, w in zip(given, wanted, strict=True)
    )


def check_dtype(dtype: np.dtype[Any], name: str, type: TensorType, where: str) -> None:
    """Raises UsageError unless floats are given for floats, and integers for integers that hold them."""
    wanted = type.dtype.numpy
    if dtype.kind == "O":
        raise UsageError(f"{where} holds Python objects, which are not read: save it as an array of numbers")
    same = dtype.kind == "f" if wanted.kind == "f" else np.can_cast(dtype, wanted, "same_kind")
    if not same:
        hint = ": give samples as the network takes them, normalised" if dtype.kind in "iu" else ""
        raise UsageError(f"{where} holds {dtype}; the input {name!r} is {type}{hint}")


def _unfit(given: tuple[int, ...], dtype: np.dtype[Any], name: str, type: TensorType, where: str) -> UsageError:
    shape = _shape(type)
    sizes = "x".join(map(str, shape[1:]))
    hint = ""
    if len(given) == len(shape) == 4:
        moved = (given[0], given[3], given[1], given[2]), (given[0], given[2], given[3], given[1])
        if any(_fits(m[1:], shape[1:]) for m in moved):
            hint = "; its channels stand elsewhere: transpose it"
    accepted = f"Nx{sizes}, N samples stacked" if shape else "N, one number for each sample"
    found = "x".join(map(str, given)) or "a single number"
    return UsageError(f"{where} is {dtype} {found}; the input {name!r} is {type}: accepted is {accepted}{hint}")


def batched(samples: Iterable[Sample], graph: Graph, batch: int) -> Iterator[Sample]:
    """Samples as the network takes them: joined or split along the first axis, `batch` at a time where that is open.

    What does not fill a last batch of fixed size is left out. Arrays get the element type of their input. Raises
    UsageError when the inputs of one sample have different numbers of samples.
    """
    types = {v.name: v.type for v in graph.inputs}
    leading = [_shape(t)[0] for t in types.values() if t.shape]
    fixed = all(isinstance(d, int) for d in leading)
    size = leading[0] if leading and fixed else batch
    waiting: list[Sample] = []
    count = 0
    for sample in samples:
        if fixed and not waiting and all(_fits(np.shape(a), _shape(types[n])) for n, a in sample.items()):
            yield _typed(sample, types)
            continue
        lengths = {n: len(a) if np.ndim(a) else 1 for n, a in sample.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{n!r}: {k}" for n, k in lengths.items())
            raise UsageError(f"the inputs of one sample have different numbers of samples ({said})")
        waiting.append(sample)
        count += next(iter(lengths.values()))
        while count >= size:
            joined = {n: np.concatenate([np.atleast_1d(s[n]) for s in waiting]) for n in types}
            yield _typed({n: a[:size] for n, a in joined.items()}, types)
            waiting = [{n: a[size:] for n, a in joined.items()}]
            count -= size
        if not count:
            waiting = []
    if waiting and not fixed:
        yield _typed({n: np.concatenate([s[n] for s in waiting]) for n in types}, types)


def _typed(sample: Mapping[str, Array], types: Mapping[str, TensorType]) -> Sample:
    return {n: np.ascontiguousarray(sample[n], types[n].dtype.numpy) for n in types}


@dataclass(frozen=True)
class ImageInput:
    """An input that takes one image, or several."""

    name: str
    height: int
    width: int
    channels: int
    channels_first: bool
    dtype: DType

    def laid_out(self, image: Array) -> Array:
        """An image [H, W, C] as the input takes it: [1, H, W, C] or [1, C, H, W]."""
        return np.transpose(image, (2, 0, 1))[None] if self.channels_first else image[None]


def image_input(graph: Graph) -> ImageInput | str:
    """The only input of a graph, if it is an image of 1 or 3 channels, NHWC or NCHW; else why it is none."""
    if len(graph.inputs) != 1:
        return f"{graph.name} has {len(graph.inputs)} inputs"
    value = graph.inputs[0]
    reason = f"the input {value.name!r} is {value.type}, which is no image of 1 or 3 channels"
    shape = value.type.shape or ()
    if len(shape) != 4 or not _sizes(shape[1:]) or not (value.type.dtype.is_float or value.type.dtype is DType.U8):
        return reason
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if not (first or last):
        return reason
    if first and last:  # an image of 1 or 3 pixels across: what is usual where the model comes from
        first = original_model(graph) is not None
    sizes = [d for d in shape if isinstance(d, int)][-3:]
    channels, height, width = sizes if first else (sizes[2], sizes[0], sizes[1])
    return ImageInput(value.name, height, width, channels, first, value.type.dtype)
