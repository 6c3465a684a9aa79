import networkx as nx
import numpy as np

from nascompiler.ir import Builder


def test_nodes_edges_and_values():
    builder = Builder("net")
    x = builder.input("x", (2,))
    first, second = builder.nn.split(x, axis=0, sizes=(1, 1))
    total = builder.nn.add(builder.nn.add(first, second), builder.constant(np.float32([1])))
    graph = builder.outputs(y=total)
    view = graph.to_networkx()
    split, inner, outer = graph.nodes
    assert view.name == "net"
    assert list(nx.topological_sort(view)) == [x, split, inner, outer]
    assert view.nodes[x] == {"op": "input", "type": x.type}
    assert view.nodes[split]["op"] == "nn.split"
    assert view.nodes[split]["attributes"] == split.attributes
    assert [data["value"] for data in view.get_edge_data(split, inner).values()] == [first, second]
    assert view.number_of_edges() == 4  # the constant is no node


def test_algorithms_of_networkx_apply():
    builder = Builder()
    x = builder.input("x", (2,))
    short, long = builder.nn.relu(x), builder.nn.exp(builder.nn.exp(x))
    graph = builder.outputs(y=builder.nn.add(short, long))
    view = graph.to_networkx()
    assert nx.dag_longest_path_length(view) == 3
    assert nx.immediate_dominators(view, x)[list(graph.nodes)[-1]] is x
    assert graph.clone().to_networkx().number_of_nodes() == 5


def test_a_view_is_a_snapshot():
    builder = Builder()
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", (2,))))
    view = graph.to_networkx()
    builder.nn.exp(graph.outputs[0])
    assert len(view) == 2
