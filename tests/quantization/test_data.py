"""Calibration data from every source, and what is said of sources that do not fit."""

from types import SimpleNamespace

import numpy as np
import pytest

from nascompiler.ir.errors import UsageError
from nascompiler.quantization.data import calibration_data
from tests.quantization.networks import graph_of

NHWC, NCHW = (1, 4, 6, 3), (1, 3, 4, 6)
SAMPLES = np.random.default_rng(0).standard_normal((10, 4, 6, 3)).astype(np.float32)


def stacked(data, name="x"):
    return np.concatenate([batch[name] for batch in data])


@pytest.fixture
def graph():
    return graph_of(x=NHWC)


@pytest.fixture
def photos(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for number in range(6):
        image.new("RGB", (6, 4), (number, 100, 200)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_a_folder_of_images(photos, graph):
    data = calibration_data(photos, graph, mean=[0], deviation=[1 / 255])
    assert (data.description, data.count, data.generated) == (f"6 images in {photos}", 6, False)
    found = stacked(data)
    assert found.shape == (6, 4, 6, 3)
    assert found[:, 0, 0] == pytest.approx(np.array([[n, 100, 200] for n in range(6)]), abs=1e-4)


def test_images_in_the_layout_of_the_network(photos):
    last = stacked(calibration_data(photos, graph_of(x=NHWC)))
    first = stacked(calibration_data(str(photos), graph_of(x=NCHW)))
    assert np.array_equal(first.transpose(0, 2, 3, 1), last)


def test_a_limit_takes_images_spread_evenly(photos, graph):
    data = calibration_data(photos, graph, mean=[0], deviation=[1 / 255], limit=3)
    assert (data.description, data.count, data.total) == (f"3 of 6 images in {photos}", 3, 6)
    assert stacked(data)[:, 0, 0, 0] == pytest.approx([0, 2, 4], abs=1e-4)


def test_a_folder_for_a_network_that_takes_no_image(photos):
    with pytest.raises(UsageError, match=r"which is no image of 1 or 3 channels; accepted: an .npz or .npy file"):
        calibration_data(photos, graph_of(x=(1, 64)))


def test_an_unreadable_image_is_named_when_it_is_read(photos, graph):
    (photos / "3.png").write_bytes(b"not an image")
    data = calibration_data(photos, graph)
    with pytest.raises(UsageError, match=r"cannot read the image .*3\.png"):
        stacked(data)


@pytest.mark.parametrize("source", ["npy", "npz", "array", "mapping", "list", "function", "batches of 4", "whole"])
def test_stacked_samples_from_everywhere(tmp_path, graph, source):
    path = tmp_path / f"d.{source[:3]}"
    if source == "npy":
        np.save(path, SAMPLES)
    elif source == "npz":
        np.savez(path, anything=SAMPLES)
    spec = {
        "npy": path,
        "npz": str(path),
        "array": SAMPLES,
        "mapping": {"x": SAMPLES},
        "list": list(SAMPLES),
        "function": lambda: ({"x": s} for s in SAMPLES),
        "batches of 4": [SAMPLES[:4], SAMPLES[4:8], SAMPLES[8:]],
        "whole": SAMPLES[:, None],
    }[source]
    data = calibration_data(spec, graph)
    for _ in range(2):  # again for each loop
        assert [b["x"].shape for b in data] == [NHWC] * 10
        assert np.array_equal(stacked(data), SAMPLES)
    known = source in ("npy", "npz", "array", "mapping", "whole")
    assert data.count == (10 if known else None)
    limited = calibration_data(spec, graph, limit=4)
    expected = SAMPLES[[0, 2, 5, 7]] if known else SAMPLES[:4]
    if source != "batches of 4":
        assert np.array_equal(stacked(limited), expected)


def test_an_iterator_can_be_read_once(graph):
    data = calibration_data(iter(SAMPLES), graph)
    assert len(list(data)) == 10
    with pytest.raises(UsageError, match="can be read only once; give a list, or a function"):
        list(data)


def test_a_network_that_takes_several_samples():
    data = calibration_data(SAMPLES, graph_of(x=(4, 4, 6, 3)))
    assert [b["x"].shape[0] for b in data] == [4, 4]
    data = calibration_data(SAMPLES, graph_of(x=("n", 4, 6, 3)), batch=4)
    assert [b["x"].shape[0] for b in data] == [4, 4, 2]


def test_several_inputs_by_name(tmp_path):
    graph, b = graph_of(a=(1, 4), b=(1, 2)), np.arange(12.0).reshape(6, 2)
    np.savez(tmp_path / "d.npz", b=b, a=np.zeros((6, 4)))
    data = calibration_data(tmp_path / "d.npz", graph)
    assert stacked(data, "b").tolist() == b.tolist()
    assert stacked(data, "b").dtype == np.float32


class Split:
    """A split as nascompiler.data has it."""

    images = (np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)).astype(np.uint8)
    labels = np.arange(10)

    @staticmethod
    def normalization(images):
        return images.astype(np.float32) / 255

    def __len__(self):
        return 10

    def batches(self, size):
        for start in range(0, 10, size):
            yield self.normalization(self.images[start : start + size]), self.labels[start : start + size]


@pytest.mark.parametrize("shape", [NHWC, NCHW])
def test_data_sets(shape):
    graph = graph_of(x=shape)
    only_batches = SimpleNamespace(batches=Split().batches)
    data_set = SimpleNamespace(name="tens", train=Split(), test=None)
    for spec, expected in ((Split(), [0, 3, 6]), (only_batches, [0, 1, 2]), (data_set, [0, 3, 6])):
        found = stacked(calibration_data(spec, graph, limit=3))
        assert found.shape == (3, *shape[1:])
        assert found[:, 0, 0, 0] * 255 == pytest.approx(expected)
    assert calibration_data(data_set, graph, limit=3).description == "3 of the training images of tens"


def test_a_data_set_of_another_size():
    with pytest.raises(UsageError, match="are 4x6x3, NHWC; the network net takes 8x8x3"):
        stacked(calibration_data(Split(), graph_of(x=(1, 3, 8, 8))))


def test_nothing_given_generates_images_and_says_so(graph):
    data = calibration_data(None, graph, limit=5, seed=7)
    assert data.generated
    assert data.description.startswith("5 images generated from seed 7: no data was given")
    assert stacked(data).shape == (5, 4, 6, 3)
    assert np.array_equal(stacked(data), stacked(data))
    assert calibration_data(None, graph).count == 64
    assert "samples of noise generated" in calibration_data(None, graph_of(x=(1, 9))).description


@pytest.mark.parametrize(
    "spec, message",
    [
        (3, "calibration data cannot be a int; accepted: a folder of images, an .npz file"),
        (SAMPLES[..., :2], "the array for 'x' is float32 10x4x6x2; the input 'x' is"),
        (SAMPLES.astype(np.uint8), "the array for 'x' holds uint8"),
        (SAMPLES[:0], "no calibration data: the arrays hold no samples"),
        ({"y": SAMPLES}, "the arrays: unknown input 'y'.*; accepted: x"),
        ({}, "the arrays: nothing for the input 'x'"),
        ("nowhere/", "no such calibration data: nowhere; accepted: a folder of images, an .npz file or a .npy file"),
        (__file__, "test_data.py is no calibration data; accepted: a folder of images"),
        ([SAMPLES[0], SAMPLES[1, :2]], "sample 1 is float32 2x6x3; the input 'x' is"),
        ([np.array([{}])], "sample 0 holds Python objects, which are not read"),
        (lambda: 3, "the function for calibration data returned int; accepted: an iterable"),
    ],
)
def test_what_cannot_be_calibration_data(graph, spec, message):
    with pytest.raises(UsageError, match=message):
        list(calibration_data(spec, graph))


def test_files_are_checked_before_anything_is_computed(tmp_path, graph):
    np.save(tmp_path / "d.npy", SAMPLES[..., :2])
    with pytest.raises(UsageError) as caught:
        calibration_data(tmp_path / "d.npy", graph)
    assert str(caught.value) == (
        f"{tmp_path / 'd.npy'} is float32 10x4x6x2; the input 'x' is f32[1,4,6,3]: accepted is Nx4x6x3, "
        "N samples stacked"
    )
    two = graph_of(a=(1, 4), b=(1, 2))
    with pytest.raises(UsageError, match="one array for 2 inputs; accepted: arrays by name, 'a', 'b'"):
        calibration_data(tmp_path / "d.npy", two)
    np.savez(tmp_path / "d.npz", a=np.zeros((3, 4)), b=np.zeros((4, 2)))
    with pytest.raises(UsageError, match=r"different numbers of samples \(.*d.npz: 'a': 3, .*d.npz: 'b': 4\)"):
        calibration_data(tmp_path / "d.npz", two)
    np.savez(tmp_path / "d.npz", a=np.zeros((3, 4)))
    with pytest.raises(UsageError, match=r"d.npz: nothing for the input 'b'"):
        calibration_data(tmp_path / "d.npz", two)


def test_options_that_do_not_apply(graph):
    with pytest.raises(UsageError, match="mean, std and channel order are for images that are read or generated"):
        calibration_data(SAMPLES, graph, mean=[0.5])
    with pytest.raises(UsageError, match="limit must be at least 1"):
        calibration_data(SAMPLES, graph, limit=0)
    with pytest.raises(UsageError, match="batch must be at least 1"):
        calibration_data(SAMPLES, graph, batch=0)
