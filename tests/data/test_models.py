"""Locating the OCR models: the errors say what would be accepted and how to get there."""

import importlib.util

import pytest

from nascompiler.data.errors import DataError
from nascompiler.data.models import OCR_MODELS, ocr_model
from nascompiler.ir.errors import UsageError


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="did you mean direction") as caught:
        ocr_model("directions")
    assert "recognition" in str(caught.value)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install --no-deps rapidocr-onnxruntime"):
        ocr_model("direction")


@pytest.mark.parametrize("name", OCR_MODELS)
def test_every_ocr_model_is_found(name):
    assert ocr_model(name).stat().st_size > 100_000
