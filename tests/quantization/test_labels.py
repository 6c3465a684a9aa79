"""Labels from files and folders, one for each sample, in the samples' order."""

import numpy as np
import pytest

from nascompiler.ir.errors import UsageError
from nascompiler.quantization.data import calibration_data, labels
from tests.quantization.networks import graph_of

GRAPH = graph_of(x=(1, 4, 4, 3))
SAMPLES = np.zeros((6, 4, 4, 3), np.float32)
CLASSES = [3, 1, 4, 1, 5, 9]


@pytest.fixture
def data():
    return calibration_data(SAMPLES, GRAPH)


@pytest.fixture
def photos(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in ("cat/1.png", "cat/2.png", "dog/3.png", "emu/4.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        image.new("RGB", (4, 4)).save(tmp_path / "photos" / name)
    return calibration_data(tmp_path / "photos", GRAPH)


def test_files_of_numbers(tmp_path, data):
    np.save(tmp_path / "l.npy", np.array(CLASSES, np.uint8))
    (tmp_path / "l.txt").write_text("\n".join(map(str, CLASSES)) + "\n\n")
    for spec in (tmp_path / "l.npy", str(tmp_path / "l.txt"), CLASSES, np.array(CLASSES)):
        found = labels(spec, data)
        assert found.tolist() == CLASSES
        assert found.dtype == np.int64


def test_labels_follow_the_samples_that_were_chosen():
    assert labels(CLASSES, calibration_data(SAMPLES, GRAPH, limit=3)).tolist() == [3, 4, 5]


def test_class_folders_are_numbered_in_sorted_order(photos):
    assert labels(None, photos).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    "lines, expected",
    [
        (["image,label", "dog/3.png,7", "cat/1.png,5", "emu/4.png,8", "cat/2.png,6"], [5, 6, 7, 8]),
        (["1.png,0", "2.png,1", "3.png,2", "4.png,3"], [0, 1, 2, 3]),
        (["1.png,cat", "2.png,dog", "3.png,dog", "4.png,cat"], [0, 1, 1, 0]),  # as the folders are numbered
        (["1.png,zebra", "2.png,ant", "3.png,ant", "4.png,bee"], [2, 0, 0, 1]),
    ],
)
def test_tables(tmp_path, photos, lines, expected):
    (tmp_path / "l.csv").write_text("\n".join(lines))
    assert labels(tmp_path / "l.csv", photos).tolist() == expected


@pytest.mark.parametrize("count, kind", [(5, "fewer"), (7, "more")])
def test_fewer_and_more_labels_than_samples(tmp_path, data, count, kind):
    np.save(tmp_path / "l.npy", np.zeros(count, int))
    with pytest.raises(UsageError) as caught:
        labels(tmp_path / "l.npy", data)
    assert str(caught.value) == (
        f"{tmp_path / 'l.npy'}: {count} labels for 6 samples, {kind} than needed; accepted: one for each"
    )


@pytest.mark.parametrize(
    "lines, message",
    [
        (["1.png,0", "2.png,1"], r"no label for 2 of 4 images \(dog/3.png, emu/4.png\)"),
        (["1.png,0", "2.png,1", "3.png,1", "4.png,1", "5.png,1"], r"labels for 1 images that are not in .* \(5.png\)"),
        (["1.png,0", "1.png,1"], "l.csv:2: 1.png stands there twice"),
        (["1.png,0,2"], "l.csv:1: '1.png,0,2'; accepted: image,label"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, photos, lines, message):
    (tmp_path / "l.csv").write_text("\n".join(lines))
    with pytest.raises(UsageError, match=message):
        labels(tmp_path / "l.csv", photos)


def test_what_is_refused(tmp_path, data):
    with pytest.raises(
        UsageError, match=r"no labels for 6 samples given as arrays; accepted: a .npy, .txt or .csv file"
    ):
        labels(None, data)
    with pytest.raises(UsageError, match="no such labels"):
        labels(tmp_path / "nowhere.npy", data)
    (tmp_path / "l.json").write_text("[]")
    with pytest.raises(UsageError, match=r"l.json holds no labels; accepted: a .npy"):
        labels(tmp_path / "l.json", data)
    (tmp_path / "l.txt").write_text("1\ntwo\n")
    with pytest.raises(UsageError, match=r"l.txt:2: 'two'; accepted: one whole number a line"):
        labels(tmp_path / "l.txt", data)
    (tmp_path / "l.csv").write_text("1.png,0\n")
    with pytest.raises(UsageError, match=r"l.csv names images; accepted for .*: a .npy or .txt file"):
        labels(tmp_path / "l.csv", data)
    with pytest.raises(UsageError, match="float64 6; accepted: one whole number for each sample"):
        labels(np.zeros(6), data)
    with pytest.raises(UsageError, match="label -1; accepted: whole numbers from 0 on"):
        labels([0, -1, 0, 0, 0, 0], data)
