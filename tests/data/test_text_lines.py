"""The rendered lines are what they say, always the same, and a trained classifier can tell them apart."""

import sys

import numpy as np
import pytest

from nascompiler.data.errors import DataError
from nascompiler.data.models import ocr_model
from nascompiler.data.text_lines import main, text_lines
from nascompiler.ir.errors import UsageError


def test_shape_type_and_range():
    images, labels = text_lines(8)
    assert images.shape == (8, 3, 48, 192)
    assert images.dtype == np.float32
    assert labels.shape == (8,)
    assert labels.dtype == np.int64
    assert set(labels.tolist()) <= {0, 1}
    assert np.abs(images).max() < 1.5  # [-1, 1] and six deviations of noise


def test_no_lines_is_an_empty_batch():
    images, labels = text_lines(0)
    assert images.shape == (0, 3, 48, 192)
    assert labels.shape == (0,)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        text_lines(-1)


def test_the_same_seed_gives_the_same_lines_and_more_lines_only_add():
    few, few_labels = text_lines(4, seed=3)
    many, many_labels = text_lines(6, seed=3)
    np.testing.assert_array_equal(few, many[:4])
    np.testing.assert_array_equal(few_labels, many_labels[:4])
    assert not np.array_equal(few, text_lines(4, seed=4)[0])


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"nascompiler\[data\]"):
        text_lines(1)


def test_the_trained_classifier_reads_the_direction():
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(ocr_model("direction")), providers=["CPUExecutionProvider"])
    images, labels = text_lines(200)
    (scores,) = session.run(None, {session.get_inputs()[0].name: images})
    assert (scores.argmax(1) == labels).mean() >= 0.97


def test_the_command_writes_lines_and_labels(tmp_path):
    main(["3", str(tmp_path / "lines.npy"), str(tmp_path / "labels.npy")])
    images, labels = text_lines(3)
    np.testing.assert_array_equal(np.load(tmp_path / "lines.npy"), images)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), labels)


def test_the_command_says_how_it_is_used(tmp_path):
    with pytest.raises(UsageError, match=r"COUNT LINES\.npy"):
        main(["many", str(tmp_path / "lines.npy")])
