"""Every test of ONNX draws the same numbers, whatever ran before it."""

from __future__ import annotations

import pytest

from tests.onnx import support


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    support.begin_anew()
