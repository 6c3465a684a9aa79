import numpy as np

from nascompiler.ir import Builder
from nascompiler.ir.analyses import last_uses, levels, live_bytes, peak_activation_bytes


def diamond():
    """x [100] -> relu -> (exp, neg) -> add; one more node that nobody uses."""
    builder = Builder()
    x = builder.input("x", (100,))
    relu = builder.nn.relu(x)
    exp, neg = builder.nn.exp(relu), builder.nn.neg(relu)
    builder.nn.log(exp)
    return builder.outputs(
        y=builder.nn.add(builder.nn.add(exp, neg), builder.constant(np.ones(100, np.float32))), relu=relu
    )


def test_levels():
    graph = diamond()
    assert list(levels(graph).values()) == [0, 1, 1, 2, 2, 3]


def test_last_uses():
    graph = diamond()
    relu, exp, _neg, log, inner, outer = graph.nodes
    found = last_uses(graph)
    assert found[graph.inputs[0]] is relu
    assert found[relu.result] is None  # an output lives on
    assert found[exp.result] is inner
    assert found[log.result] is None
    assert found[inner.result] is outer
    assert not any(value.is_constant for value in found)


def test_live_bytes_by_hand():
    # x relu | relu exp | relu exp neg | relu exp neg log | relu exp neg inner | relu inner outer, 400 bytes each
    assert list(live_bytes(diamond()).values()) == [800, 800, 1200, 1600, 1600, 1200]
    assert peak_activation_bytes(diamond()) == 1600


def test_open_sizes_leave_the_peak_open_while_they_live():
    builder = Builder()
    x = builder.input("x", ("N",))
    graph = builder.outputs(y=builder.nn.relu(builder.nn.reduce_sum(x, axes=(0,))))
    assert list(live_bytes(graph).values()) == [None, 8]
    assert peak_activation_bytes(graph) is None


def test_a_graph_without_nodes():
    builder = Builder()
    assert peak_activation_bytes(builder.outputs(y=builder.input("x", (3,)))) == 0
