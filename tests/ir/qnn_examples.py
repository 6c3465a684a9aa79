"""Examples of every op of qnn, and of what nn does to integers; the differential tests replay them, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from nascompiler.ir.dialects.qnn.lookup import function_table
from nascompiler.ir.types import Array, DType
from tests.ir.op_examples import OpExample

_SEEDS = count()

I8, U8, I16, U16 = DType.I8, DType.U8, DType.I16, DType.U16


def whole(*shape: int, low: int, high: int, dtype: Any = np.int32) -> Array:
    """Integers, other ones at each call but the same in each run, whatever other tests draw."""
    return np.random.default_rng([13, next(_SEEDS)]).integers(low, high, shape).astype(dtype)


def full(dtype: DType, *shape: int) -> Array:
    """Integers from the whole range of a type."""
    info = np.iinfo(dtype.numpy.name)
    return whole(*shape, low=int(info.min), high=int(info.max) + 1, dtype=info.dtype)


def scales(size: int) -> Array:
    """Weight scales as networks have them."""
    return np.random.default_rng([11, next(_SEEDS)]).uniform(0.001, 0.02, size).astype(np.float32)


def reals(*shape: int, scale: float = 1.0) -> Array:
    """Real numbers of which many lie exactly between two steps of `scale`."""
    generator = np.random.default_rng([12, next(_SEEDS)])
    halves = generator.integers(-300, 300, shape) * np.float32(0.5 * scale)
    noise = generator.standard_normal(shape) * scale * 60
    return np.where(generator.random(shape) < 0.5, halves, noise).astype(np.float32)


def affine(prefix: str, scale: float, zero_point: int = 0) -> dict[str, Any]:
    """The attributes of an operand (`x_`) or, with no prefix, of the result."""
    return {f"{prefix}scale": scale, f"{prefix}zero_point": zero_point}


def result(scale: float, zero_point: int = 0, dtype: DType = I8) -> dict[str, Any]:
    """The attributes of a result."""
    return {**affine("", scale, zero_point), "dtype": dtype}


def _conversion() -> Iterator[OpExample]:
    special = np.asarray([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -0.0, 1e-40, 0.25, 0.75, -0.25], np.float32)
    for dtype, zero_point in ((I8, -128), (I8, 127), (U8, 0), (U8, 255), (I16, 0), (U16, 40000)):
        yield OpExample("qnn.quantize", (reals(2, 3, 5, 7, scale=0.5),), result(0.5, zero_point, dtype))
    yield OpExample("qnn.quantize", (special,), result(0.5, 3))
    yield OpExample("qnn.quantize", (reals(31, scale=0.1),), result(0.1, -7))
    for dtype in (I8, U8, I16, U16):
        yield OpExample("qnn.dequantize", (full(dtype, 3, 4, 5),), affine("x_", 0.037, 17))
        narrower = result(0.8 if dtype.bytes == 1 else 150.0, -3)
        zero_point = 9 if dtype is I8 or dtype is I16 else 2 ** (8 * dtype.bytes - 1)
        yield OpExample("qnn.requantize", (full(dtype, 3, 4, 5),), {**affine("x_", 0.5, zero_point), **narrower})
    yield OpExample("qnn.requantize", (full(I8, 200),), {**affine("x_", 0.1, 127), **result(0.15, 255, U8)})
    yield OpExample("qnn.requantize", (full(I16, 200),), {**affine("x_", 0.001), **result(0.0007, 0, I16)})
    weight = reals(3, 3, 4, 5, scale=0.02)
    yield OpExample("qnn.quantize_per_axis", (weight, scales(5)), {"axis": 3})
    yield OpExample("qnn.quantize_per_axis", (weight, scales(4)), {"axis": -2, "dtype": I16})
    yield OpExample("qnn.quantize_per_axis", (reals(9, 3, scale=0.3), np.asarray([0.3], np.float32)), {"axis": 1})
    yield OpExample("qnn.quantize_per_axis", (special.reshape(11, 1), scales(11)), {"axis": 0})
    yield OpExample("qnn.dequantize_per_axis", (full(I8, 3, 3, 4, 5), scales(5)), {"axis": -1})
    yield OpExample("qnn.dequantize_per_axis", (full(U8, 6, 5), scales(6)), {"axis": 0, "x_zero_point": 128})
    yield OpExample("qnn.dequantize_per_axis", (full(DType.I32, 40), np.asarray([1e-4], np.float32)), {"axis": 0})


_BIG = {"x_scale": 0.02, "x_zero_point": -5}


def _convolution() -> Iterator[OpExample]:
    def conv(
        op: str, x: tuple[int, ...], weight: tuple[int, ...], features: int, bias: bool = True, **options: Any
    ) -> OpExample:
        x_dtype, weight_dtype = options.pop("x_dtype", I8), options.pop("weight_dtype", I8)
        single = options.pop("single_scale", False)
        operands = (
            full(x_dtype, *x),
            full(weight_dtype, *weight),
            scales(1 if single else features),
            whole(features, low=-3000, high=3000) if bias else None,
        )
        attributes = {**_BIG, **result(0.9, 3), **options}
        return OpExample(f"qnn.{op}", operands, attributes)

    yield conv("conv2d", (1, 8, 8, 3), (3, 3, 3, 16), 16, strides=(2, 2), padding=(1, 1, 1, 1))
    yield conv("conv2d", (1, 6, 5, 16), (1, 1, 16, 24), 24, activation="relu")
    yield conv("conv2d", (1, 7, 7, 13), (1, 1, 13, 11), 11, False, strides=(2, 2), activation="relu6", scale=0.06)
    yield conv("conv2d", (2, 7, 9, 5), (3, 3, 5, 7), 7, padding=(1, 1, 1, 1), single_scale=True)
    yield conv("conv2d", (1, 9, 10, 4), (3, 2, 4, 6), 6, strides=(2, 1), padding=(0, 1, 2, 0), dilation=(2, 3))
    yield conv("conv2d", (1, 6, 6, 8), (3, 3, 2, 16), 16, padding=(1, 1, 1, 1), groups=4)
    yield conv("conv2d", (1, 9, 8, 16), (3, 3, 1, 16), 16, padding=(1, 1, 1, 1), groups=16, scale=0.06)
    yield conv("conv2d", (2, 8, 9, 7), (5, 5, 1, 7), 7, strides=(2, 2), padding=(1, 2, 2, 1), groups=7)
    yield conv("conv2d", (1, 6, 6, 5), (3, 3, 1, 10), 10, False, padding=(1, 1, 1, 1), groups=5)
    yield conv("conv2d", (1, 1, 1, 6), (1, 1, 6, 4), 4)
    for zero_point in (-128, 127):
        yield conv("conv2d", (1, 5, 6, 4), (3, 3, 4, 8), 8, padding=(1, 1, 1, 1), x_zero_point=zero_point)
    unsigned = {"x_dtype": U8, "weight_dtype": U8, "weight_zero_point": 131, "dtype": U8, "zero_point": 128}
    yield conv("conv2d", (1, 5, 6, 8), (3, 3, 8, 8), 8, padding=(1, 1, 1, 1), **{**unsigned, "x_zero_point": 255})
    yield conv(
        "conv2d", (1, 5, 6, 8), (3, 3, 1, 8), 8, groups=8, padding=(1, 0, 1, 0), **{**unsigned, "x_zero_point": 0}
    )
    wide = {"x_dtype": I16, "dtype": I16, "x_scale": 1e-4, "x_zero_point": 0, "zero_point": 0, "scale": 0.003}
    yield conv("conv2d", (1, 4, 5, 6), (3, 3, 6, 8), 8, padding=(1, 1, 1, 1), **wide)
    yield conv("conv2d", (1, 2, 3, 300), (1, 1, 300, 4), 4, **wide)
    for activation in ("none", "relu", "relu6", "hard_swish", "hard_sigmoid"):
        fused = {"activation": activation, "x_scale": 0.002}
        scale = 0.01 if activation == "hard_sigmoid" else 0.1
        yield conv("conv2d", (1, 4, 6, 8), (3, 3, 8, 8), 8, scale=scale, **fused)
        yield conv("conv2d", (1, 4, 5, 6), (1, 1, 6, 9), 9, dtype=DType.F32, **{**fused, "zero_point": 0, "scale": 1.0})
    yield conv("conv2d", (1, 8, 8, 130), (3, 3, 130, 8), 8, padding=(1, 1, 1, 1), scale=9.0)
    yield conv("conv2d_transpose", (1, 4, 5, 6), (2, 2, 6, 4), 4, strides=(2, 2))
    yield conv("conv2d_transpose", (2, 3, 4, 5), (3, 3, 5, 7), 7, False, strides=(2, 2), padding=(1, 1, 1, 1))
    yield conv(
        "conv2d_transpose", (1, 4, 3, 6), (3, 2, 6, 2), 4,
        strides=(3, 2), padding=(1, 0, 0, 1), output_padding=(1, 0), dilation=(1, 2), groups=2,
        activation="relu", scale=0.3,
    )  # fmt: skip
    yield conv("conv2d_transpose", (1, 4, 4, 5), (3, 3, 5, 1), 5, strides=(2, 2), groups=5, dtype=DType.F32)


def _linear() -> Iterator[OpExample]:
    def linear(x: tuple[int, ...], features: int, bias: bool = True, **options: Any) -> OpExample:
        operands = (
            full(options.pop("x_dtype", I8), *x),
            full(options.pop("weight_dtype", I8), x[-1], features),
            scales(options.pop("scales", features)),
            whole(features, low=-3000, high=3000) if bias else None,
        )
        return OpExample("qnn.linear", operands, {**_BIG, **result(0.7, -9), **options})

    yield linear((3, 17), 10)
    yield linear((1, 2, 3, 8), 5, False, scales=1, activation="relu6", scale=0.05)
    yield linear((1, 700), 40, scale=4.0)
    yield linear((2, 64), 62, dtype=DType.F32)
    yield linear((4, 24), 16, activation="hard_swish", x_scale=0.003, scale=0.1)
    yield linear(
        (3, 17),
        10,
        x_dtype=U8,
        x_zero_point=90,
        weight_dtype=U8,
        weight_zero_point=100,
        dtype=U8,
        zero_point=128,
        scale=2.0,
    )
    yield linear((2, 40), 12, x_dtype=U16, x_zero_point=30000, dtype=U16, zero_point=30000, scale=0.2)
    yield linear((33,), 8)

    def matmul(a: tuple[int, ...], b: tuple[int, ...], **options: Any) -> OpExample:
        operands = (full(options.pop("a_dtype", I8), *a), full(options.pop("b_dtype", I8), *b))
        attributes = {**affine("a_", 0.03, 4), **affine("b_", 0.02, -6), **result(0.8, 2), **options}
        return OpExample("qnn.matmul", operands, attributes)

    yield matmul((5, 7), (7, 3))
    yield matmul((2, 1, 4, 6), (3, 6, 8))
    yield matmul((6,), (2, 6, 3))
    yield matmul((2, 5, 6), (6,))
    yield matmul((6,), (6,), dtype=DType.F32, zero_point=0, scale=1.0)
    yield matmul((2, 9, 16), (2, 16, 12), a_dtype=U8, b_dtype=U8, a_zero_point=128, b_zero_point=0)


def _elementwise() -> Iterator[OpExample]:
    for op, larger in (("add", 1), ("mul", 40)):

        def pair(a: Array, b: Array, op: str = op, larger: int = larger, **options: Any) -> OpExample:
            attributes = {**affine("a_", 0.3, 4), **affine("b_", 0.7, -6), **result(0.9, 1), **options}
            attributes["scale"] *= 1 if "activation" in options else larger
            return OpExample(f"qnn.{op}", (a, b), attributes)

        yield pair(full(I8, 2, 5, 3, 7), full(I8, 2, 5, 3, 7))
        yield pair(full(I8, 1, 4, 3, 8), full(I8, 1, 1, 1, 8), activation="relu")
        yield pair(
            whole(5, 1, 7, low=-9, high=19, dtype=np.int8),
            whole(4, 1, low=-9, high=3, dtype=np.int8),
            activation="relu6",
            scale=0.05,
        )
        yield pair(full(U8, 64), full(U8, 64), a_zero_point=0, b_zero_point=255, dtype=U8, zero_point=77)
        yield pair(full(U8, 64), full(I8, 64), a_zero_point=128, scale=0.5, b_scale=0.25, a_scale=0.25)
        yield pair(full(I16, 300), full(I16, 300), a_zero_point=0, b_zero_point=0, scale=170.0, dtype=I16, zero_point=0)
        yield pair(full(I16, 300), full(I8, 300), a_scale=0.001, dtype=U16, zero_point=30000)
    a, b = (m.astype(np.int8).reshape(-1) for m in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    every = {**affine("a_", 0.0173), **affine("b_", 0.0259), **result(0.0311, 5)}
    yield OpExample("qnn.add", (a, b), every)
    yield OpExample("qnn.mul", (a, b), {**every, "scale": 0.0571})


def _lookup() -> Iterator[OpExample]:
    def lookup(x: Array, dtype: DType, function: str, parameters: tuple[float, ...] = ()) -> OpExample:
        x_dtype = DType.of(x.dtype)
        middle = (int(np.iinfo(x.dtype).min) + int(np.iinfo(x.dtype).max)) // 2
        step = 0.03 if dtype.bytes == 1 else 1e-4
        scales = {**affine("x_", 0.05 if x.dtype.itemsize == 1 else 2e-4, middle + 2), **affine("", step, 3)}
        table = function_table(function, parameters, x_dtype=x_dtype, dtype=dtype, **scales)
        return OpExample("qnn.lookup", (x, table), {**scales, "function": function, "parameters": parameters})

    yield lookup(full(I8, 2, 5, 3, 7), I8, "nn.sigmoid")
    yield lookup(full(U8, 300), I8, "nn.hard_swish")
    yield lookup(full(I8, 300), U8, "nn.leaky_relu", (0.1,))
    yield lookup(full(I16, 3000), I16, "nn.tanh")
    yield lookup(full(U16, 300), I8, "nn.relu")


def _pooling() -> Iterator[OpExample]:
    windows: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
        ((1, 8, 8, 6), {"kernel": (2, 2), "strides": (2, 2)}),
        ((2, 7, 9, 5), {"kernel": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)}),
        ((1, 9, 8, 3), {"kernel": (3, 2), "strides": (1, 2), "padding": (0, 1, 2, 0), "count_include_pad": True}),
        ((1, 9, 9, 8), {"kernel": (3, 3), "padding": (1, 1, 1, 1), "dilation": (2, 2)}),
    )
    quantization = {**affine("x_", 0.3, -100), **result(0.5, -80)}
    for shape, attributes in windows:
        yield OpExample("qnn.average_pool2d", (full(I8, *shape),), {**quantization, **attributes})
    unsigned = {**affine("x_", 0.3, 200), **result(0.3, 200, U8)}
    yield OpExample("qnn.average_pool2d", (full(U8, 1, 6, 6, 4),), {**unsigned, **windows[1][1]})
    yield OpExample("qnn.global_average_pool", (full(I8, 2, 7, 5, 9),), quantization)
    yield OpExample("qnn.global_average_pool", (full(I16, 1, 14, 14, 16),), {**affine("x_", 0.1), **result(0.5)})
    yield OpExample("qnn.global_average_pool", (full(U8, 1, 2, 2, 32),), unsigned)


def _resize() -> Iterator[OpExample]:
    quantization = {**affine("x_", 0.3, -10), **result(0.25, 11)}
    for sampling in (
        {"size": (8, 10), "mode": "linear"},
        {"size": (9, 4), "mode": "linear", "coordinates": "align_corners"},
        {"size": (4, 12), "mode": "linear", "coordinates": "tf_half_pixel_for_nn"},
        {"size": (7, 12), "mode": "linear", "scales": (1.75, 2.4)},
        {"size": (8, 10), "coordinates": "asymmetric", "rounding": "floor"},
    ):
        yield OpExample("qnn.resize", (full(I8, 2, 4, 5, 3),), {**quantization, **sampling})
    yield OpExample(
        "qnn.resize",
        (full(U8, 1, 5, 7, 8),),
        {**affine("x_", 0.1, 9), **result(0.1, 9, U8), "size": (11, 3), "mode": "linear"},
    )


def _structural() -> Iterator[OpExample]:
    """Ops of nn that take integers as they are."""
    for dtype in (I8, U8, I16):
        window = {"kernel": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)}
        yield OpExample("nn.max_pool2d", (full(dtype, 1, 7, 8, 5),), window)
        yield OpExample("nn.global_max_pool", (full(dtype, 1, 4, 3, 5),))
        yield OpExample(
            "nn.pad", (full(dtype, 1, 3, 4, 2),), {"before": (0, 1, 2, 0), "after": (0, 2, 0, 0), "value": 17.0}
        )
        yield OpExample("nn.concat", (full(dtype, 1, 4, 3, 5), full(dtype, 1, 4, 3, 2)), {"axis": -1})
        yield OpExample("nn.slice", (full(dtype, 4, 6),), {"axes": (1,), "starts": (1,), "ends": (5,), "steps": (2,)})
        yield OpExample("nn.transpose", (full(dtype, 2, 3, 4, 5),), {"permutation": (0, 3, 1, 2)})
        yield OpExample("nn.resize", (full(dtype, 1, 3, 3, 2),), {"size": (6, 5)})
        yield OpExample("nn.reshape", (full(dtype, 2, 3, 4),), {"shape": (4, -1)})
        yield OpExample("nn.depth_to_space", (full(dtype, 1, 3, 2, 12),), {"block": 2})
        yield OpExample("nn.split", (full(dtype, 2, 3, 7),), {"axis": -1, "sizes": (3, 1, 3)})
        yield OpExample("nn.gather", (full(dtype, 6, 4), np.asarray([0, 5, 2], np.int64)))
        yield OpExample("nn.maximum", (full(dtype, 6, 4), full(dtype, 4)))


EXAMPLES: tuple[OpExample, ...] = (
    *_conversion(),
    *_convolution(),
    *_linear(),
    *_elementwise(),
    *_lookup(),
    *_pooling(),
    *_resize(),
    *_structural(),
)
"""Examples of the ops of qnn, then of those of nn that do not care what integers stand for."""
