"""Folders of images: classes by folder, images read on demand, the middle of 224 pixels."""

import numpy as np
import pytest

from nascompiler.data.errors import DataError
from nascompiler.data.imagenet import centre_crop, load_imagenet

Image = pytest.importorskip("PIL.Image")
COLOURS = {"n01": (200, 30, 30), "n02": (30, 200, 30)}


@pytest.fixture
def folder(tmp_path):
    for part, count in (("train", 50), ("val", 2)):
        for name, colour in COLOURS.items():
            inside = tmp_path / part / name
            inside.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8 + number, 10), colour).save(inside / f"{number}.png")
            (inside / "notes.txt").write_text("no image")
    return tmp_path


def test_splits_classes_and_labels(folder):
    data = load_imagenet(folder)
    assert data.classes == ("n01", "n02")
    assert [len(split) for split in (data.train, data.held_out, data.test)] == [98, 2, 4]
    assert data.test.images.shape == (4, 224, 224, 3)
    for split in (data.held_out, data.test):
        images = split.images[np.arange(len(split))]
        assert images.dtype == np.uint8
        for image, label in zip(images, split.labels, strict=True):
            assert image[0, 0].tolist() == list(COLOURS[data.classes[label]])


def test_batches_are_preprocessed(folder):
    images, labels = next(load_imagenet(folder).test.batches(3))
    assert images.shape == (3, 224, 224, 3)
    np.testing.assert_allclose(images[0, 5, 5, 0], (200 / 255 - 0.485) / 0.229, atol=1e-5)
    assert labels.tolist() == [0, 0, 1]


def test_the_crop_is_the_middle_after_scaling(tmp_path):
    pixels = np.zeros((512, 1024, 3), np.uint8)
    pixels[:, 512:] = 255
    Image.fromarray(pixels).save(tmp_path / "halves.png")
    crop = centre_crop(tmp_path / "halves.png")
    assert crop.shape == (224, 224, 3)
    assert crop[:, :110].max() == 0
    assert crop[:, 114:].min() == 255


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    Image.new(mode, (300, 30)).save(tmp_path / "image.png")
    assert centre_crop(tmp_path / "image.png").shape == (224, 224, 3)


def test_a_file_that_is_no_image_is_named(folder):
    (folder / "val" / "n01" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png"):
        next(load_imagenet(folder).test.batches(1))


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"train has no folders; accepted: train/ and val/"):
        load_imagenet(tmp_path)
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "val" / "b").mkdir(parents=True)
    with pytest.raises(DataError, match="classes that train has not: b"):
        load_imagenet(tmp_path)
    (tmp_path / "val" / "b").rename(tmp_path / "val" / "a")
    with pytest.raises(DataError, match="no images in"):
        load_imagenet(tmp_path)
