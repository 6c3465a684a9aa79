"""Graphs that only have inputs to fill."""

from nascompiler.ir import Builder, DType, Graph, TensorType


def graph_of(**inputs: tuple[tuple, DType] | tuple) -> Graph:
    """A graph with inputs of these shapes, f32 unless a type is given: `x=(1, 8, 8, 3)`, `x=((1, 4), DType.I64)`."""
    builder = Builder("net")
    values = {}
    for name, given in inputs.items():
        shape, dtype = given if len(given) == 2 and isinstance(given[1], DType) else (given, DType.F32)
        values[name] = builder.input(name, TensorType(shape, dtype))
    return builder.outputs(**{f"out_{name}": value for name, value in values.items()})
