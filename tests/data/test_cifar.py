"""CIFAR-10 from the binary and from the Python version: the same images, and clear errors."""

import pickle

import numpy as np
import pytest

from nascompiler.data.cifar import CLASSES, TEST_BATCH, TRAIN_BATCHES, load_cifar_10
from nascompiler.data.errors import DataError

PER_BATCH = 40


@pytest.fixture(scope="module")
def batches():
    generator = np.random.default_rng(0)
    return {
        name: (
            generator.integers(0, 256, (PER_BATCH, 3, 32, 32), dtype=np.uint8),
            np.arange(PER_BATCH) % 10,
        )
        for name in (*TRAIN_BATCHES, TEST_BATCH)
    }


@pytest.fixture
def binary(batches, tmp_path):
    for name, (planes, labels) in batches.items():
        records = np.concatenate([labels[:, None].astype(np.uint8), planes.reshape(PER_BATCH, -1)], axis=1)
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    return tmp_path


def test_splits_and_pixels(binary, batches):
    data = load_cifar_10(binary)
    assert data.classes == CLASSES
    assert [len(split) for split in (data.train, data.held_out, data.test)] == [180, 20, 40]
    assert np.bincount(data.held_out.labels).tolist() == [2] * 10
    planes, labels = batches[TEST_BATCH]
    np.testing.assert_array_equal(data.test.images[np.arange(PER_BATCH)], planes.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.test.labels, labels)


def test_the_folder_above_will_do(binary, tmp_path_factory):
    above = tmp_path_factory.mktemp("above")
    (above / "cifar-10-batches-bin").symlink_to(binary)
    assert len(load_cifar_10(above).test) == 40


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_python_version_gives_the_same(binary, batches, tmp_path_factory, protocol):
    folder = tmp_path_factory.mktemp("python")
    for name, (planes, labels) in batches.items():
        batch = {b"data": planes.reshape(PER_BATCH, -1), b"labels": labels.tolist(), b"batch_label": b"x"}
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
    for one, other in zip(splits(load_cifar_10(folder)), splits(load_cifar_10(binary)), strict=True):
        np.testing.assert_array_equal(one.images[np.arange(len(one))], other.images[np.arange(len(other))])
        np.testing.assert_array_equal(one.labels, other.labels)


def splits(data):
    return data.train, data.held_out, data.test


def test_the_seed_decides_what_is_held_out(binary):
    one, other = load_cifar_10(binary, seed=0), load_cifar_10(binary, seed=1)
    assert not np.array_equal(one.held_out.images[np.arange(20)], other.held_out.images[np.arange(20)])
    np.testing.assert_array_equal(one.test.labels, other.test.labels)


def test_an_empty_folder_says_what_would_be_accepted(tmp_path):
    with pytest.raises(DataError, match=r"test_batch\.bin"):
        load_cifar_10(tmp_path)


def test_a_missing_batch_is_named(binary):
    (binary / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match="data_batch_3"):
        load_cifar_10(binary)


def test_a_file_of_the_wrong_size_is_refused(binary):
    (binary / "data_batch_2.bin").write_bytes(b"\0" * 5000)
    with pytest.raises(DataError, match=r"data_batch_2\.bin has 5000 bytes; accepted: a multiple of 3073"):
        load_cifar_10(binary)


def test_labels_beyond_the_classes_are_refused(binary):
    (binary / "test_batch.bin").write_bytes(b"\x0b" * 3073)
    with pytest.raises(DataError, match="11"):
        load_cifar_10(binary)
