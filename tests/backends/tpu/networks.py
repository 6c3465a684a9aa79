"""Small quantised networks with random numbers, for what the compiler makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir import Array, Builder, DType, Graph, TensorType, Value
from nascompiler.ir.dialects.qnn.lookup import function_table

SCALE, ZERO_POINT = 0.05, 3


class Networks:
    """Builds one network. Activations are i8 with one scale and zero point unless said otherwise, weights i8."""

    def __init__(
        self, *shapes: tuple[int, ...], dtype: DType = DType.I8, weight_dtype: DType = DType.I8, seed: int = 0
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = Builder("small")
        self.zero_point = 0 if dtype.bytes == 2 else 130 if dtype is DType.U8 else ZERO_POINT
        self.dtype, self.weight_dtype = dtype, weight_dtype
        self.inputs = [self.builder.input(f"x{i}", TensorType(shape, dtype)) for i, shape in enumerate(shapes)]
        self.zero_points: dict[Value, int] = dict.fromkeys(self.inputs, self.zero_point)

    def weights(self, shape: tuple[int, ...], *, bias: bool = True) -> tuple[Value, ...]:
        """Weights, scales and biases of a sum with as many features as the last dimension says."""
        features = shape[-1]
        reach, step = 128, 1.0
        if self.weight_dtype is DType.I16:  # all that sums of so many products leave room for, with x as in `arrays`
            products = int(np.prod(shape[:-1]))
            reach = min(32768, (1 << 30) // (products * (3000 if self.dtype.bytes == 2 else 256)))
            step = 128 / reach
        made = [
            self.random.integers(-reach, reach, shape).astype(self.weight_dtype.numpy),
            (self.random.uniform(1e-3, 4e-3, features) * step).astype(np.float32),
            self.random.integers(-2000, 2000, features).astype(np.int32),
        ]
        return tuple(self.builder.constant(array) for array in made[: 3 if bias else 2])

    def _common(self, x: Value, prefix: str = "x_") -> dict[str, Any]:
        return {f"{prefix}scale": _scale(x), f"{prefix}zero_point": self.zero_points[x]}

    def _made(self, value: Value, zero_point: int) -> Value:
        self.zero_points[value] = zero_point
        return value

    def conv(self, x: Value, features: int, kernel: tuple[int, int] = (3, 3), **attributes: Any) -> Value:
        """A convolution; `groups` as in nn.conv2d."""
        channels = x.type.static_shape[3] // attributes.get("groups", 1)
        dtype = attributes.pop("dtype", self.dtype)
        result = {"dtype": dtype} if dtype is DType.F32 else self._result(dtype)
        weights = self.weights((*kernel, channels, features), bias=attributes.pop("bias", True))
        made = self.builder.qnn.conv2d(x, *weights, **self._common(x), **result, **attributes)
        return self._made(made, result.get("zero_point", 0))

    def linear(self, x: Value, features: int, **attributes: Any) -> Value:
        dtype = attributes.pop("dtype", self.dtype)
        result = {"dtype": dtype} if dtype is DType.F32 else self._result(dtype)
        weights = self.weights((x.type.static_shape[-1], features))
        made = self.builder.qnn.linear(x, *weights, **self._common(x), **result, **attributes)
        return self._made(made, result.get("zero_point", 0))

    def _result(self, dtype: DType) -> dict[str, Any]:
        return {"scale": SCALE, "zero_point": -5 if dtype is DType.I8 else self.zero_point, "dtype": dtype}

    def pair(self, op: str, a: Value, b: Value, **attributes: Any) -> Value:
        """add or mul."""
        result = self._result(self.dtype) | ({"scale": SCALE / 3} if op == "mul" else {})
        common = self._common(a, "a_") | self._common(b, "b_")
        made: Value = getattr(self.builder.qnn, op)(a, b, **common, **result, **attributes)
        return self._made(made, result["zero_point"])

    def pool(self, op: str, x: Value, **attributes: Any) -> Value:
        """average_pool2d, global_average_pool, max_pool2d."""
        if op == "max_pool2d":
            made: Value = self.builder.nn.max_pool2d(x, **attributes)
            return self._made(made, self.zero_points[x])
        made = getattr(self.builder.qnn, op)(x, **self._common(x), **self._result(self.dtype), **attributes)
        return self._made(made, self._result(self.dtype)["zero_point"])

    def requantize(self, x: Value) -> Value:
        made = self.builder.qnn.requantize(x, **self._common(x), scale=SCALE * 1.3, zero_point=7, dtype=DType.I8)
        return self._made(made, 7)

    def lookup(self, x: Value, function: str = "nn.sigmoid", dtype: DType = DType.I8) -> Value:
        x_type = self._common(x)
        result = {"scale": 1 / 256, "zero_point": -128 if dtype is DType.I8 else 0}
        table = function_table(function, (), **x_type, x_dtype=x.type.dtype, dtype=dtype, **result)  # type: ignore[arg-type]
        made = self.builder.qnn.lookup(x, self.builder.constant(table), **x_type, **result, function=function)
        return self._made(made, int(result["zero_point"]))

    def moved(self, x: Value, value: Value) -> Value:
        """What only moves numbers keeps their zero point."""
        return self._made(value, self.zero_points[x])

    def graph(self, *outputs: Value) -> Graph:
        return self.builder.outputs(**{f"y{i}": value for i, value in enumerate(outputs)})

    def arrays(self) -> dict[str, Array]:
        """Inputs over the whole range of their type."""
        low, high = np.iinfo(self.dtype.numpy.name).min, np.iinfo(self.dtype.numpy.name).max
        if self.dtype.bytes == 2:
            low, high = -3000, 3000
        return {
            v.name: self.random.integers(low, high + 1, v.type.static_shape).astype(self.dtype.numpy)
            for v in self.inputs
        }


def _scale(value: Value) -> float:
    """What a value says of its scale; inputs have that of all."""
    quantization = value.type.quantization
    return SCALE if quantization is None else quantization.scale[0]
