"""How each nn op is written as ONNX nodes, one file for each family; `table` gathers them."""
