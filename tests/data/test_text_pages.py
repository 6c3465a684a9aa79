"""Pages of text: always the same, masks where text is, and the trained detector finds it there."""

import numpy as np
import pytest

from nascompiler.data.models import ocr_model
from nascompiler.data.text_pages import DEVIATION, MEAN, text_pages


def test_shapes_types_and_range():
    images, masks = text_pages(2, size=128)
    assert images.shape == (2, 3, 128, 128)
    assert images.dtype == np.float32
    assert masks.shape == (2, 128, 128)
    assert masks.dtype == np.bool_
    pixels = images * DEVIATION[:, None, None] + MEAN[:, None, None]
    assert -0.2 < pixels.min() < pixels.max() < 1.2


def test_text_is_darker_than_paper():
    images, masks = text_pages(1)
    assert 0.05 < masks.mean() < 0.7
    assert images[0, :, masks[0]].mean() < images[0, :, ~masks[0]].mean() - 0.3


def test_the_same_seed_gives_the_same_pages_and_more_pages_only_add():
    few, few_masks = text_pages(1, seed=3, size=96)
    many, many_masks = text_pages(2, seed=3, size=96)
    np.testing.assert_array_equal(few, many[:1])
    np.testing.assert_array_equal(few_masks, many_masks[:1])
    assert not np.array_equal(few, text_pages(1, seed=4, size=96)[0])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        text_pages(-1)
    with pytest.raises(ValueError, match="multiples of 32"):
        text_pages(1, size=100)


def test_the_trained_detector_finds_the_text():
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(ocr_model("detection")), providers=["CPUExecutionProvider"])
    images, masks = text_pages(3)
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: images})
    found = probabilities[:, 0] > 0.3
    # The detector is trained to mark the middle of each line.
    assert (found & masks).sum() > 0.99 * found.sum()
    assert (found & masks).sum() > 0.25 * masks.sum()
