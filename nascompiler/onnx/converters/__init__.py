"""Converters of ONNX operators into nn ops, one file for each family; `table` gathers them."""
