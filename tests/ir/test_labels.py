"""Names by which people find nodes."""

import numpy as np

from nascompiler.ir import Builder
from nascompiler.ir.labels import node_labels


def test_a_node_is_called_by_its_result_else_by_its_origin_else_by_its_place():
    builder = Builder("g")
    x = builder.input("x", (2, 3))
    named = builder.nn.relu(x, name="first")
    builder.origin = "onnx:Mul@1"
    made = builder.nn.sigmoid(builder.nn.mul(named, builder.constant(np.ones(3, np.float32))))
    again = builder.nn.sigmoid(made)
    builder.origin = ""
    graph = builder.outputs(y=builder.nn.tanh(again))
    labels = list(node_labels(graph).values())
    assert labels == ["first", "Mul@1.mul", "Mul@1.sigmoid", "Mul@1.sigmoid.3", "nn.tanh.4"]
