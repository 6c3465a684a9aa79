"""Python batches are read as data: as their first writer (Python 2) and today's write them, and nothing is run."""

import os
import pickle
import pickletools

import numpy as np
import pytest

from nascompiler.data.cifar_pickle import read_python_batch
from nascompiler.data.errors import DataError

PIXELS = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)


def python_2_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2 and its NumPy wrote: names and pixels as strings of bytes, memoised."""

    def text(content: bytes) -> bytes:
        return b"U" + bytes([len(content)]) + content

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85" + text(b"b") + b"\x87Rq\x04"
        b"(K\x01K" + bytes([len(pixels)]) + b"M" + (3072).to_bytes(2, "little") + b"\x86"
        b"cnumpy\ndtype\nq\x05"
        + text(b"u1")
        + b"K\x00K\x01\x87Rq\x06(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff"
        b"\xff\xff\xffK\x00tb\x89T" + pixels.nbytes.to_bytes(4, "little") + pixels.tobytes() + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\x01(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def test_a_batch_of_python_2(tmp_path):
    content = python_2_batch(PIXELS, [3, 9])
    found = pickle.loads(content, encoding="bytes")  # it is what it claims to be
    np.testing.assert_array_equal(found[b"data"], PIXELS)
    (tmp_path / "batch").write_bytes(content)
    pixels, labels = read_python_batch(tmp_path / "batch")
    np.testing.assert_array_equal(pixels, PIXELS)
    assert labels.tolist() == [3, 9]


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_batches_written_again_by_python_3(tmp_path, protocol):
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": PIXELS, "labels": [1, 2]}, protocol))
    pixels, labels = read_python_batch(tmp_path / "batch")
    np.testing.assert_array_equal(pixels, PIXELS)
    assert labels.tolist() == [1, 2]


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("where", ["data", "labels", "more"])
def test_nothing_is_called(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    batch = {"data": PIXELS, "labels": [1, 2], where: Harmful()}
    (tmp_path / "batch").write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(DataError, match=r"it would call posix\.mkdir"):
        read_python_batch(tmp_path / "batch")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\1\2",
        b".",
        pickle.dumps([1]),
        pickle.dumps({}),
        pickle.dumps({"data": 1, "labels": [1]}, 2),
        pickle.dumps({"data": PIXELS[:, :-1], "labels": [1, 2]}, 2),
        pickle.dumps({"data": PIXELS.astype(np.int32), "labels": [1, 2]}, 2),
        pickle.dumps({"data": PIXELS, "labels": [1]}, 2),
        pickle.dumps({"data": PIXELS, "labels": ["a", "b"]}, 2),
        python_2_batch(PIXELS, [1, 2])[:500],
        b"\x80\x02K\x01K\x02b.",
        b"\x80\x02h\x07.",
        b"\x80\x02u.",
    ],
)
def test_anything_else_is_refused(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match="no Python batch of CIFAR-10"):
        read_python_batch(tmp_path / "batch")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="batch"):
        read_python_batch(tmp_path / "batch")


def test_the_batch_of_python_2_uses_no_instruction_beyond_protocol_2():
    assert max(opcode.proto for opcode, _, _ in pickletools.genops(python_2_batch(PIXELS, [1, 2]))) == 2
