"""The conformance tests of the onnx package: the reference evaluation passes those listed, all others are refused.

`backend_tests.txt` lists the models that import and pass, one a line. A listed one that fails, and an unlisted one that
imports, whatever it then computes, fail here; `pytest --update-golden` writes the list anew, for those that pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from nascompiler.ir.errors import ModelError
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.types import Array
from nascompiler.onnx import export_onnx, import_onnx
from tests.onnx.support import run

LIST = Path(__file__).parent / "backend_tests.txt"
HALF_PRECISION = 2e-3
"""Two units in the last place of f16, which intermediate results are rounded to."""


@dataclass(frozen=True)
class Case:
    name: str
    model: bytes
    data: list[tuple[list[Array], list[Any]]]
    rtol: float
    atol: float

    def problems(self, actual: list[Array], expected: list[Any]) -> list[str]:
        if len(actual) != len(expected):
            return [f"{len(actual)} outputs instead of {len(expected)}"]
        found = []
        for got, wanted in zip(actual, map(_array, expected), strict=True):
            rtol = max(self.rtol, HALF_PRECISION if wanted.dtype == np.float16 else 0)
            if got.dtype != wanted.dtype or got.shape != wanted.shape:
                found.append(f"{got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}")
            elif not np.allclose(got, wanted, rtol=rtol, atol=self.atol, equal_nan=True):
                found.append("other values")
        return found


def _array(value: Any) -> Array:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


@cache
def cases() -> tuple[Case, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = [
            t
            for kind in ("node", "simple", "pytorch-converted", "pytorch-operator")
            for t in load_model_tests(kind=kind)
        ]
    return tuple(_case(test) for test in loaded)


def _case(test: Any) -> Case:
    if test.model is not None:
        return Case(test.name, test.model.SerializeToString(), test.data_sets, test.rtol, test.atol)
    folder = Path(test.model_dir)
    data = [(list(_stored(d, "input")), list(_stored(d, "output"))) for d in sorted(folder.glob("test_data_set_*"))]
    return Case(test.name, (folder / "model.onnx").read_bytes(), data, test.rtol, test.atol)


def _stored(folder: Path, kind: str) -> Iterator[onnx.TensorProto]:
    for index in range(len(list(folder.glob(f"{kind}_*.pb")))):
        yield onnx.TensorProto.FromString((folder / f"{kind}_{index}.pb").read_bytes())


def outcome(case: Case) -> str:
    """`refused`, `pass`, or what is wrong. An exception that is not ours, a crash, is let through."""
    try:
        graph = import_onnx(case.model)
    except ModelError:
        return "refused"
    problems = []
    for inputs, outputs in case.data:
        arrays = {v.name: _array(a) for v, a in zip(graph.inputs, inputs, strict=True)}
        problems += case.problems(list(evaluate(graph, arrays).values()), outputs)
    return "; ".join(problems) or "pass"


def test_the_listed_pass_and_all_others_are_refused(request: pytest.FixtureRequest) -> None:
    outcomes = {case.name: outcome(case) for case in cases()}
    passing = [name for name, result in outcomes.items() if result == "pass"]
    if request.config.getoption("--update-golden"):
        LIST.write_text("\n".join(sorted(passing)) + "\n")
    listed = set(LIST.read_text().split())
    wrong = {name: result for name, result in outcomes.items() if result not in ("pass", "refused")}
    assert not wrong, "wrong answers"
    assert not listed - set(passing), "listed, but they do not pass"
    assert not set(passing) - listed, "they pass, but are not listed: run pytest --update-golden"
    assert len(outcomes) > 2000
    assert len(passing) > 800


NOT_IN_THE_RUNTIME = {
    *("test_max_int16", "test_max_uint16", "test_min_int16", "test_min_uint16"),
    *("test_convinteger_with_padding", "test_convinteger_without_padding"),  # no convolution of f64
}


def test_exports_of_the_listed_agree_in_the_runtime() -> None:
    """All that import and can be exported; `mod` of floats and `range` of f16 have no ONNX form in our opset."""
    listed = set(LIST.read_text().split()) - NOT_IN_THE_RUNTIME
    wrong, refused = {}, set()
    for case in cases():
        if case.name not in listed:
            continue
        graph = import_onnx(case.model)
        try:
            proto = export_onnx(graph)
        except ModelError:
            refused.add(case.name)
            continue
        for inputs, outputs in case.data:
            arrays = {v.name: _array(a) for v, a in zip(graph.inputs, inputs, strict=True)}
            loose = Case(case.name, b"", [], case.rtol, max(case.atol, 1e-5))
            problems = loose.problems(list(run(proto.SerializeToString(), arrays).values()), outputs)
            if problems:
                wrong[case.name] = problems
    assert not wrong
    assert all("mod_float" in name or name == "test_range_float16_type_positive_delta" for name in refused)
