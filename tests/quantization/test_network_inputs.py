"""Samples against the inputs of a network: which shapes and types fit, and how they are joined."""

import re

import numpy as np
import pytest

from nascompiler.ir import DType
from nascompiler.ir.errors import UsageError
from nascompiler.quantization.network_inputs import batched, entries_of, image_input, input_types, one_entry
from nascompiler.source import SOURCE, SOURCE_HASH
from tests.quantization.networks import graph_of


def type_of(shape, dtype=DType.F32):
    return graph_of(x=(shape, dtype)).inputs[0].type


@pytest.mark.parametrize(
    "given, wanted, entries",
    [
        ((7, 4, 5), (1, 4, 5), (7, 1, 4, 5)),
        ((7, 1, 4, 5), (1, 4, 5), (7, 1, 4, 5)),
        ((7, 2, 4, 5), (2, 4, 5), (7, 2, 4, 5)),
        ((7, 4, 5), (2, 4, 5), (7, 1, 4, 5)),
        ((7, 4), (None, 4), (7, 1, 4)),
        ((7,), (), (7,)),
        ((7,), (1,), (7, 1)),
    ],
)
def test_stacked_samples(given, wanted, entries):
    assert entries_of(np.zeros(given, np.float32), "x", type_of(wanted), "the file").shape == entries


@pytest.mark.parametrize(
    "given, wanted, entry",
    [
        ((4, 5), (1, 4, 5), (1, 4, 5)),
        ((1, 4, 5), (1, 4, 5), (1, 4, 5)),
        ((3, 4, 5), (1, 4, 5), (3, 4, 5)),
        ((), (), ()),
    ],
)
def test_single_samples(given, wanted, entry):
    assert one_entry(np.zeros(given, np.float32), "x", type_of(wanted), "sample 0").shape == entry


def test_shapes_that_do_not_fit():
    with pytest.raises(UsageError) as caught:
        entries_of(np.zeros((5, 7, 8, 3), np.float32), "x", type_of((1, 8, 8, 3)), "d.npy")
    assert str(caught.value) == (
        "d.npy is float32 5x7x8x3; the input 'x' is f32[1,8,8,3]: accepted is Nx8x8x3, N samples stacked"
    )
    with pytest.raises(UsageError, match="its channels stand elsewhere: transpose it"):
        entries_of(np.zeros((5, 8, 9, 3), np.float32), "x", type_of((1, 3, 8, 9)), "d.npy")
    with pytest.raises(UsageError, match="a single number"):
        one_entry(np.float32(3), "x", type_of((1, 3, 8, 9)), "sample 0")


@pytest.mark.parametrize(
    "given, wanted, fits",
    [
        (np.float64, DType.F32, True),
        (np.float16, DType.F32, True),
        (np.uint8, DType.F32, False),
        (np.int64, DType.F32, False),
        (np.bool_, DType.F32, False),
        (np.complex64, DType.F32, False),
        (np.int64, DType.I32, True),
        (np.float32, DType.I64, False),
        (np.uint8, DType.U8, True),
        (np.bool_, DType.BOOL, True),
    ],
)
def test_element_types(given, wanted, fits):
    array, type_ = np.zeros((2, 4), given), type_of((1, 4), wanted)
    if fits:
        assert entries_of(array, "x", type_, "d.npy").shape == (2, 1, 4)
    else:
        with pytest.raises(UsageError, match=f"d.npy holds {np.dtype(given)}; the input 'x' is {wanted}"):
            entries_of(array, "x", type_, "d.npy")


def test_pixels_for_a_float_input_are_told_what_to_become():
    with pytest.raises(UsageError) as caught:
        entries_of(np.zeros((2, 4), np.uint8), "x", type_of((1, 4)), "d.npy")
    assert str(caught.value) == (
        "d.npy holds uint8; the input 'x' is f32[1,4]: give samples as the network takes them, normalised"
    )


def test_open_sizes_and_no_inputs():
    with pytest.raises(UsageError, match=r"sizes of 'x' \(f32\[1,\?,3\]\) are open; give them by --shape"):
        input_types(graph_of(x=(1, None, 3)))
    with pytest.raises(UsageError, match="net has no inputs"):
        input_types(graph_of())


def numbers(*lengths):
    start = 0
    for length in lengths:
        yield {"x": np.arange(start, start + length, dtype=np.float64)[:, None]}
        start += length


@pytest.mark.parametrize(
    "leading, batch, lengths, expected",
    [
        (1, 1, [1, 1, 1], [1, 1, 1]),
        (1, 1, [3, 2], [1] * 5),
        (2, 1, [1, 1, 1, 1], [2, 2]),
        (2, 1, [1, 3, 1], [2, 2]),  # what does not fill a fixed batch is left out
        (4, 1, [4, 8], [4, 4, 4]),
        (None, 3, [1] * 7, [3, 3, 1]),
        (None, 2, [5], [2, 2, 1]),
    ],
)
def test_samples_become_batches_in_order(leading, batch, lengths, expected):
    found = list(batched(numbers(*lengths), graph_of(x=(leading, 1)), batch))
    assert [len(b["x"]) for b in found] == expected
    joined = np.concatenate([b["x"] for b in found])
    assert joined.dtype == np.float32
    assert joined[:, 0].tolist() == list(range(sum(expected)))


def test_inputs_of_different_sizes_are_taken_whole():
    graph = graph_of(x=(1, 4), state=(2, 3))
    whole = {"x": np.zeros((1, 4)), "state": np.ones((2, 3))}
    assert [b["state"].shape for b in batched([whole, whole], graph, 1)] == [(2, 3), (2, 3)]
    with pytest.raises(UsageError, match=r"different numbers of samples \('x': 2, 'state': 3\)"):
        list(batched([{"x": np.zeros((2, 4)), "state": np.ones((3, 3))}], graph, 1))


@pytest.mark.parametrize(
    "shape, channels_first, sizes",
    [((1, 8, 9, 3), False, (8, 9, 3)), ((1, 3, 8, 9), True, (8, 9, 3)), ((4, 1, 8, 9), True, (8, 9, 1))],
)
def test_images_are_recognised_in_both_layouts(shape, channels_first, sizes):
    image = image_input(graph_of(x=shape))
    assert not isinstance(image, str)
    assert (image.channels_first, (image.height, image.width, image.channels)) == (channels_first, sizes)
    assert image.laid_out(np.zeros(sizes)).shape == (1, *shape[1:])


def test_an_image_three_pixels_wide_is_as_usual_where_it_comes_from(tmp_path):
    graph = graph_of(x=(1, 3, 8, 3))
    assert image_input(graph).channels_first is False
    model = tmp_path / "model.onnx"
    model.write_bytes(b"")
    graph.attributes |= {
        SOURCE: str(model),
        SOURCE_HASH: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
    assert image_input(graph).channels_first is True


@pytest.mark.parametrize(
    "inputs, reason",
    [
        ({"x": (1, 8, 8, 5)}, r"the input 'x' is f32\[1,8,8,5\], which is no image of 1 or 3 channels"),
        ({"x": (1, 64)}, "no image"),
        ({"x": ((1, 8, 8, 3), DType.I64)}, "no image"),
        ({"x": (1, 8, 8, 3), "y": (1,)}, "net has 2 inputs"),
    ],
)
def test_inputs_that_are_no_images(inputs, reason):
    assert re.search(reason, image_input(graph_of(**inputs)))
