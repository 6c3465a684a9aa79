"""Concatenation, splitting, tiling, and channels against pixels, against NumPy and onnxruntime."""

import numpy as np
import pytest

from nascompiler.ir.attributes import SymbolRef
from nascompiler.ir.builder import Builder
from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType, TensorType
from tests.ir.dialects.nn.running import NCHW_TO_NHWC, NHWC_TO_NCHW, close, infer, onnx_run, run, typed
from tests.ir.op_examples import normal


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_split_undoes_concat(axis):
    parts = [normal(*(n if i == axis % 3 else 3 for i in range(3))) for n in (1, 4, 2)]
    whole = run("concat", *parts, axis=axis)
    close(whole, np.concatenate(parts, axis))
    for part, again in zip(parts, run("split", whole, axis=axis, sizes=(1, 4, 2)), strict=True):
        close(again, part)


def test_concat_adds_what_is_known():
    assert infer("concat", ("N", 2, 3), ("N", 2, 5), axis=-1) == ("N", 2, 8)
    assert infer("concat", ("N", 2, None), (4, "H", 5), axis=2) == (4, 2, None)
    assert infer("concat", ("N", 3), axis=1) == ("N", 3)
    with pytest.raises(InferenceError, match=r"operands have shapes \[2, 3\], \[4, 3\]; all but axis 1 must be equal"):
        infer("concat", (2, 3), (4, 3), axis=1)
    with pytest.raises(InferenceError, match="all must have the same number of dimensions"):
        infer("concat", (2, 3), (2,), axis=0)
    with pytest.raises(InferenceError, match="operands are f32 and f16; all must have the same element type"):
        infer("concat", (2, 3), typed((2, 3), DType.F16), axis=0)
    with pytest.raises(InferenceError, match="no operands"):
        infer("concat", axis=0)


def test_split_checks_its_sizes():
    assert infer("split", ("N", 7), axis=1, sizes=(3, 4)) == ("N", 3)
    assert infer("split", ("N", None), axis=-1, sizes=(3, 4)) == ("N", 3)
    with pytest.raises(InferenceError, match=r"sizes \[3, 3\] add up to 6; dimension 1 of x \[2, 7\] is 7"):
        infer("split", (2, 7), axis=1, sizes=(3, 3))
    with pytest.raises(InferenceError, match="sizes is empty"):
        infer("split", (0,), axis=0, sizes=())


def test_the_number_of_parts_is_known_where_their_sizes_are_not():
    builder = Builder()
    assert len(builder.nn.split(builder.input("x", TensorType(None)), axis=0, sizes=(3, 4))) == 2
    assert len(builder.nn.split(builder.input("y", (8,)), axis=0, sizes=(SymbolRef("width"), 4))) == 2
    with pytest.raises(InferenceError, match="its entries may be choices, not their number"):
        builder.nn.split(builder.input("z", (8,)), axis=0, sizes=SymbolRef("width"))


def test_tile_repeats():
    x = normal(2, 3)
    close(run("tile", x, repeats=(2, 3)), np.block([[x, x, x], [x, x, x]]))
    assert infer("tile", ("N", "M", 3), repeats=(1, 2, 2)) == ("N", None, 6)
    with pytest.raises(InferenceError, match=r"repeats \[2\] must have one entry for each dimension of x \[2, 3\]"):
        infer("tile", (2, 3), repeats=(2,))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_depth_to_space_equals_onnxruntime(mode, block):
    pytest.importorskip("onnxruntime")
    x = normal(2, 3, 4, 5 * block**2)
    result = run("depth_to_space", x, block=block, mode=mode)
    expected = onnx_run("DepthToSpace", x.transpose(NHWC_TO_NCHW).copy(), blocksize=block, mode=mode)
    close(result, expected.transpose(NCHW_TO_NHWC))
    if mode == "DCR":
        close(run("space_to_depth", result, block=block), x)
    else:
        torch = pytest.importorskip("torch")
        image = torch.from_numpy(x.transpose(NHWC_TO_NCHW).copy())
        close(result, torch.nn.functional.pixel_shuffle(image, block).numpy().transpose(NCHW_TO_NHWC))


def test_space_to_depth_equals_onnxruntime():
    pytest.importorskip("onnxruntime")
    x = normal(2, 6, 4, 3)
    expected = onnx_run("SpaceToDepth", x.transpose(NHWC_TO_NCHW).copy(), blocksize=2)
    close(run("space_to_depth", x, block=2), expected.transpose(NCHW_TO_NHWC))


def test_blocks_must_fit():
    assert infer("depth_to_space", ("N", "H", 3, 12), block=2) == ("N", None, 6, 3)
    assert infer("space_to_depth", ("N", None, 6, "C"), block=2) == ("N", None, 3, None)
    with pytest.raises(InferenceError, match="channel count of x is 6; it must be a multiple of 4"):
        infer("depth_to_space", (1, 2, 2, 6), block=2)
    with pytest.raises(InferenceError, match="width of x is 5; it must be a multiple of 2"):
        infer("space_to_depth", (1, 4, 5, 6), block=2)
