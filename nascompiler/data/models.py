"""Trained ONNX models that come with the package rapidocr-onnxruntime (Apache-2.0): read in place, never copied.

`python -m nascompiler.data.models direction` prints where one lies.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nascompiler.data.package_files import package_file
from nascompiler.ir.errors import Error, UsageError, unknown

OCR_MODELS = {
    "direction": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "detection": "ch_PP-OCRv4_det_infer.onnx",
    "recognition": "ch_PP-OCRv4_rec_infer.onnx",
}
"""`direction` tells upright from upside-down lines (a small MobileNetV3), `detection` finds lines in a page (resizing,
transposed convolutions), `recognition` reads a line (convolutions, then attention)."""


def ocr_model(name: str) -> Path:
    """The path of one of `OCR_MODELS`.

    Raises:
        UsageError: there is no model of this name.
        DataError: rapidocr-onnxruntime is not installed, or is a version without this file.
    """
    if name not in OCR_MODELS:
        raise unknown("OCR model", name, OCR_MODELS)
    return package_file(
        "rapidocr_onnxruntime",
        f"models/{OCR_MODELS[name]}",
        what=f"the OCR model {name!r}",
        remedy="run `pip install --no-deps rapidocr-onnxruntime==1.4.4`",
    )


if __name__ == "__main__":
    try:
        if len(sys.argv) != 2:
            raise UsageError(f"usage: python -m nascompiler.data.models NAME, one of {', '.join(OCR_MODELS)}")
        print(ocr_model(sys.argv[1]))
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
