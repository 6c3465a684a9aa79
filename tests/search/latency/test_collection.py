"""The calls of a space, each once; kept between runs."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.call_graph import call_graph, with_random_constants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import StoreError
from nascompiler.backends.predict import timed_calls
from nascompiler.ir import Builder, Constant, DType, TensorType, verify
from nascompiler.search.latency import collection as module
from nascompiler.search.latency.collection import Collection
from nascompiler.search.latency.lowering import lowered


def test_a_small_space_is_looked_at_whole(space, target):
    found = Collection.begin(space, target)
    found.extend(space, target, samples=1)
    expected = {}
    for decisions in space.enumerate():
        for key in timed_calls(lowered(space.architecture(decisions), target)):
            expected[key] = expected.get(key, 0) + 1
    assert found.sampled == space.size == 8
    assert found.complete
    assert found.unseen == 0
    assert dict(found.counts) == expected
    assert {key: call.key for key, call in found.calls.items()} == {key: key for key in expected}


def test_a_large_space_is_sampled_until_little_is_new(space, target, monkeypatch):
    monkeypatch.setattr(module, "SMALL_SPACE", 1)
    found = Collection.begin(space, target)
    assert found.unseen == 1.0
    found.extend(space, target, samples=5)
    assert found.sampled == 5
    found.extend(space, target, samples=1000, stop_below=0.01)
    assert found.sampled < 30
    assert not found.complete
    assert found.unseen < 0.01


def test_it_goes_on_where_it_was_kept(space, target):
    whole = Collection.begin(space, target)
    whole.extend(space, target, samples=1)
    part = Collection.begin(space, target)
    part.extend(space, target, samples=1, report=lambda c: c.sampled < 3)
    part.keep()
    again = Collection.begin(space, target)
    assert again.sampled == 3
    again.extend(space, target, samples=1)
    assert (again.calls, again.counts, again.complete) == (whole.calls, whole.counts, True)


def test_a_file_that_cannot_be_read_is_named(space, target):
    found = Collection.begin(space, target)
    found.keep()
    found.path.write_text("{}")
    with pytest.raises(StoreError, match=f"{found.path.name}.*remove the file"):
        Collection.begin(space, target)


def test_calls_make_a_graph_that_can_be_measured(space, target):
    found = Collection.begin(space, target)
    found.extend(space, target, samples=1)
    graph = with_random_constants(call_graph(found.calls.values()))
    verify(graph)
    assert [KernelCall.of(node).key for node in graph.nodes] == list(found.calls)
    assert not any(value.constant.is_placeholder for value in graph.constants if value.constant is not None)


def test_constants_of_integer_sums_are_as_networks_have_them():
    build = Builder("product")
    types = [TensorType((1, 1, 160, 16), DType.I8), TensorType((16,), DType.F32), TensorType((16,), DType.I32)]
    weight, scale, bias = (build.constant(Constant(type, digest=f"{i:032x}")) for i, type in enumerate(types))
    x = build.input("x", (1, 8, 8, 160), DType.I8)
    y = build.op("qnn.conv2d", x, weight, scale, bias, x_scale=0.02, scale=0.1)
    (node,) = with_random_constants(build.outputs(y=y)).nodes
    _, weight, scale, bias = (v.constant.array if v.constant else None for v in node.operands)
    assert 20 < np.abs(weight.astype(float)).mean() < 35
    largest = 255 * np.abs(weight.astype(float)).sum(axis=(0, 1, 2)) + np.abs(bias)
    assert (largest < 2**22).all()
    assert (largest * scale * 0.02 / 0.1 < 2**15).all()
