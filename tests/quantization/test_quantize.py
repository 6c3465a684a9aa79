from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import nascompiler as nc
from nascompiler.backends.errors import GateError
from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.ir import Array, Builder, Error, Graph, ModelError, UsageError, evaluate, fingerprint
from tests.quantization.classifiers import classifier, images, stacked_images

DATA = stacked_images(12)


@pytest.fixture(scope="module")
def result() -> nc.quantization.result.QuantizationResult:  # type: ignore[name-defined]
    return nc.quantize(classifier(), calibration=DATA)


def test_the_result_is_an_integer_network_with_its_report(result) -> None:
    assert result.graph.level in ("nn", "qnn")
    assert {n.op.name for n in result.graph.nodes} >= {"qnn.conv2d", "qnn.linear", "qnn.add"}
    report = result.report
    assert (report.samples, report.generated, report.sensitivity) == (12, False, ())
    assert report.fingerprint == fingerprint(result.graph)
    assert report.verdict.quantized_bytes < report.verdict.float_bytes
    assert report.score.samples == 12
    assert result.met
    result.check()
    json.dumps(report.to_json(), allow_nan=False)


def test_saved_and_loaded_it_computes_the_same_bits(result, tmp_path: Path) -> None:
    nc.save(result.graph, tmp_path / "q.nir")
    loaded = nc.load(tmp_path / "q.nir")
    assert fingerprint(loaded) == fingerprint(result.graph)
    for sample in images(4, seed=9):
        expected = evaluate(result.graph, sample)["scores"]
        np.testing.assert_array_equal(evaluate(loaded, sample)["scores"], expected)


def test_the_same_data_and_seed_give_the_same_graph(result) -> None:
    again = nc.quantize(classifier(), calibration=DATA.copy())
    assert fingerprint(again.graph) == fingerprint(result.graph)
    assert again.report.to_json() == result.report.to_json()
    generated = [nc.quantize(classifier(), samples=4, seed=seed).report for seed in (3, 3, 4)]
    assert generated[0].fingerprint == generated[1].fingerprint != generated[2].fingerprint


def test_without_data_images_are_generated_and_the_report_says_so() -> None:
    network = nc.load("mobilenet-v3-small", width=0.35, resolution=32)
    report = nc.quantize(network, samples=2, evaluate=2).report
    assert report.generated
    text = " ".join(report.warnings)
    assert "generated from seed 0" in text
    assert "random weights" in text
    assert "generated from seed 1" in report.evaluation  # other images than those that ranges were made for


@pytest.mark.parametrize("form", ["npy", "npz", "dict", "list", "generator", "function"])
def test_every_form_of_data_gives_the_same_graph(form: str, result, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", DATA)
    np.savez(tmp_path / "x.npz", image=DATA)

    def generator() -> Iterator[Array]:
        yield from DATA

    given: dict[str, object] = {
        "npy": str(tmp_path / "x.npy"),
        "npz": tmp_path / "x.npz",
        "dict": {"image": DATA},
        "list": images(12),
        "generator": generator(),
        "function": generator,
    }
    assert nc.quantize(classifier(), calibration=given[form]).report.fingerprint == result.report.fingerprint


def split(count: int, seed: int) -> Split:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return Split(pixels, generator.integers(0, 6, count), Normalization())


def test_a_data_set_calibrates_with_its_training_images_and_judges_with_others() -> None:
    dataset = Dataset("noise", tuple("abcdef"), split(20, 0), split(15, 1), split(5, 2))
    report = nc.quantize(classifier(), calibration=dataset).report
    assert (report.samples, report.score.samples, report.score.measure.value) == (20, 15, "accuracy")
    report = nc.quantize(classifier(), calibration=dataset.held_out, labels="known").report
    assert (report.samples, report.score.samples, report.score.measure.value) == (15, 15, "accuracy")


def test_labels_give_accuracy_on_all_samples() -> None:
    labels = np.array([int(evaluate(classifier(), s)["scores"].argmax()) for s in images(12)])
    report = nc.quantize(classifier(), calibration=DATA, labels=labels, samples=4).report
    assert report.samples == 4
    assert (report.score.samples, report.score.floating) == (12, 1.0)


def test_a_gate_is_met_by_falling_back() -> None:
    options = {"calibration": DATA, "equalize": False}
    before = nc.quantize(classifier(outlier=300.0), **options).report
    assert before.score.drop > 10
    result = nc.quantize(classifier(outlier=300.0), max_drop=1.0, **options)
    result.check()
    report = result.report
    assert report.first_score == before.score
    assert report.score.drop <= 1.0
    assert report.attempts
    assert report.sensitivity
    assert any(row.placement != "i8" for row in report.layers)


def test_a_gate_that_is_missed_raises_when_checked() -> None:
    labels = np.array([int(evaluate(classifier(), s)["scores"].argmin()) for s in images(12)])
    b = Builder("regression")
    x = b.input("x", (1, 64))
    weight = np.random.default_rng(0).standard_normal((64, 1)).astype(np.float32)
    graph = b.outputs(y=b.nn.linear(x, b.constant(weight, "w"), name="only"))
    data = np.random.default_rng(1).standard_normal((20, 64)).astype(np.float32)
    result = nc.quantize(graph, calibration=data, max_drop=1e-12, dtype="i8")
    assert not result.met
    assert result.report.score.measure.value == "signal-to-noise"
    with pytest.raises(GateError, match="loses more than 1e-12 points"):
        result.check()
    assert nc.quantize(classifier(), calibration=DATA, labels=labels).report.score.floating == 0.0


def open_input() -> Graph:
    b = Builder("open")
    return b.outputs(y=b.nn.relu(b.input("x", ("n", 4))))


BAD: dict[str, tuple[object, dict[str, object], str]] = {
    "nothing where nothing can be generated": (open_input(), {}, r"inputs of open sizes \(x: f32\[n,4\]\).*--shape"),
    "no samples": (None, {"calibration": np.zeros((0, 8, 8, 3), np.float32)}, "no calibration data|no samples|0 "),
    "no such file": (None, {"calibration": "photos"}, "no such calibration data: photos"),
    "NaN": (None, {"calibration": np.full((3, 8, 8, 3), np.nan, np.float32)}, "input 'image' holds NaN in sample 0"),
    "other shapes": (None, {"calibration": np.zeros((3, 9, 8, 3), np.float32)}, "accepted is Nx8x8x3"),
    "fewer labels": (None, {"calibration": DATA, "labels": np.arange(3)}, "3 labels for 12 samples, fewer than"),
    "labels of generated images": (None, {"labels": np.arange(3)}, "labels need calibration data"),
    "an unknown layer": (None, {"calibration": DATA, "keep_float": "stm"}, r"unknown layer 'stm' \(did you mean stem"),
    "an unknown method": (None, {"calibration": DATA, "method": "msee"}, "unknown calibration method 'msee'"),
    "an unknown option": (None, {"calibration": DATA, "per_chanel": True}, "did you mean per_channel"),
    "an unknown type": (None, {"calibration": DATA, "dtype": "i4"}, "accepted: i8, u8 or i16"),
    "an unknown target": (None, {"calibration": DATA, "target": "abacus"}, "unknown target 'abacus'"),
    "a negative gate": (None, {"calibration": DATA, "max_drop": -1.0}, "accepted: numbers from 0 on"),
    "a search space": ("mnasnet", {}, "is a search space: close its choices first"),
    "an unknown model": ("mobilenet-v9", {}, "unknown model 'mobilenet-v9'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(case: str) -> None:
    model, options, message = BAD[case]
    with pytest.raises((UsageError, ModelError), match=message) as raised:
        nc.quantize(classifier() if model is None else model, **options)  # type: ignore[arg-type]
    assert isinstance(raised.value, Error)
    assert "Traceback" not in str(raised.value)


def test_a_quantised_network_is_not_quantised_again(result) -> None:
    with pytest.raises(UsageError, match="is quantised already"):
        nc.quantize(result.graph, calibration=DATA)


def test_one_image_and_constant_data_work_with_a_warning() -> None:
    assert "single sample" in nc.quantize(classifier(), calibration=DATA[:1]).report.warnings[0]
    constant = nc.quantize(classifier(), calibration=np.ones((5, 8, 8, 3), np.float32)).report
    assert any("never changed during calibration" in warning for warning in constant.warnings)


def test_more_bits_lose_less_and_sums_fit() -> None:
    from nascompiler.quantization.quantize import quantizer_options

    network, sample = classifier(), next(iter(images(1, seed=5)))
    expected = evaluate(network, sample)["scores"]
    lost = {}
    for precision in ("int8", "int16x8", "int8x16", "int16"):
        made = nc.quantize(network, calibration=DATA, **quantizer_options(precision, "cpu"))
        graph = made.graph
        assert f"{precision} pays in size" in str(made.report.verdict)
        lost[precision] = float(np.abs(evaluate(graph, sample)["scores"] - expected).max())
    assert lost["int16"] < min(lost["int16x8"], lost["int8x16"]) < lost["int8"]
    with pytest.raises(UsageError, match="weights cannot be u8; accepted: i8 or i16"):
        nc.quantize(network, calibration=DATA, weight_dtype="u8")
    with pytest.raises(UsageError, match="unknown precision 'int4'"):
        quantizer_options("int4", "cpu")
