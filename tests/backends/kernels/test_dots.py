"""How weights lie for each instruction set, and which rows need a copy."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.kernels.dots import Dots
from nascompiler.backends.target import Isa
from nascompiler.ir.types import DType


def _isa(architecture: str, *dots: str) -> Isa:
    return Isa("some", architecture, 4, 8, "generic", frozenset(), dots=dots)


@pytest.mark.parametrize(
    ("isa", "group", "staged", "shift"),
    [(_isa("x86_64", "vnni"), 4, DType.U8, 128), (_isa("x86_64"), 2, DType.I16, 0), (_isa("aarch64"), 1, DType.I16, 0)],
)
def test_groups_of_terms(isa, group, staged, shift):
    dots = Dots.of(isa)
    assert (dots.group, dots.x, dots.shift(DType.I8), dots.shift(DType.U8)) == (group, staged, shift, 0)
    weight = np.arange(-15, 20).reshape(7, 5)
    packed = dots.pack(weight)
    assert packed.shape == (dots.groups(7), 5)
    terms = np.ascontiguousarray(packed).view(dots.weight.numpy).reshape(-1, 5, group)
    restored = terms.transpose(0, 2, 1).reshape(-1, 5)
    np.testing.assert_array_equal(restored[:7], weight)
    assert not restored[7:].any()


def test_only_whole_groups_of_unsigned_bytes_are_read_as_they_are():
    vnni = Dots.of(_isa("x86_64", "vnni"))
    assert vnni.reads_directly(DType.U8, 8)
    assert not vnni.reads_directly(DType.U8, 6)
    assert not vnni.reads_directly(DType.I8, 8)
    assert not Dots.of(_isa("x86_64")).reads_directly(DType.U8, 8)
