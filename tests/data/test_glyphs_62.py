"""glyphs-62 is drawn once, read from the cache afterwards, and never taken from a damaged file."""

import numpy as np
import pytest

from nascompiler.data import glyphs_62
from nascompiler.data.errors import DataError
from nascompiler.data.glyphs import CLASSES, glyphs


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path))
    monkeypatch.setattr(glyphs_62, "COUNTS", {"train": 7, "held_out": 2, "test": 3})
    monkeypatch.setattr(glyphs_62, "_CHUNK", 3)
    return tmp_path


def test_the_splits_are_the_glyphs(cache):
    data = glyphs_62.load_glyphs_62(seed=1)
    assert (data.name, data.classes) == ("glyphs-62", CLASSES)
    for split, name, count in (
        (data.train, "train", 7),
        (data.held_out, "held_out", 2),
        (data.test, "test", 3),
    ):
        images, labels = glyphs(count, name, 1)
        np.testing.assert_array_equal(split.images[np.arange(count)], images)
        np.testing.assert_array_equal(split.labels, labels)


def test_they_are_drawn_once(cache, monkeypatch):
    first = glyphs_62.load_glyphs_62()
    monkeypatch.delattr(glyphs_62, "glyphs")
    again = glyphs_62.load_glyphs_62()
    np.testing.assert_array_equal(first.test.images[np.arange(3)], again.test.images[np.arange(3)])
    assert not list(cache.rglob(".writing-*"))


def test_a_damaged_file_is_named(cache):
    glyphs_62.load_glyphs_62()
    (damaged,) = cache.rglob("*held-out.npy")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"held-out\.npy.*remove it"):
        glyphs_62.load_glyphs_62()


def test_a_file_of_something_else_is_refused(cache):
    glyphs_62.load_glyphs_62()
    (other,) = cache.rglob("*test.npy")
    np.save(other, np.zeros(3))
    with pytest.raises(DataError, match="does not hold 3 glyphs"):
        glyphs_62.load_glyphs_62()
