"""How closely torch has to agree with the reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nascompiler.ir.types import Array

TOLERANCE = 1e-5
"""Of the largest element of a result."""


def assert_agrees(actual: Mapping[str, Array], expected: Mapping[str, Array], *, tolerance: float = TOLERANCE) -> None:
    """Equal names, shapes and element types, and values within `tolerance` of the largest expected one."""
    assert actual.keys() == expected.keys()
    for name, wanted in expected.items():
        made = actual[name]
        assert made.dtype == wanted.dtype, name
        assert made.shape == wanted.shape, name
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(made, wanted, err_msg=name)
            continue
        scale = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
        np.testing.assert_allclose(made, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=name)
