"""The channel groups of the papers' networks: all free but those of input and output, and removed as if masked."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler import api
from nascompiler.architecture import expanded
from nascompiler.ir import evaluate, graph_cost
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import channel_structure
from tests.ir.channel_networks import masked_evaluate, random_selection


@pytest.mark.parametrize("name", ["mobilenet-v2", "mobilenet-v3-small", "mnasnet-a1", "nasnet-a-mobile"])
def test_removing_equals_masking(name: str) -> None:
    graph = expanded(api.load(name, resolution="32"))
    structure = channel_structure(graph)
    assert [group.frozen for group in structure.groups if group.frozen] == [
        ("graph input 'image'",),
        ("graph output 'logits'",),
    ]
    keep = random_selection(structure, 0, share=0.5)
    generator = np.random.default_rng(0)
    inputs = {"image": generator.standard_normal(graph.inputs[0].type.static_shape).astype(np.float32)}
    shrunk = without_channels(structure, keep)
    expected = masked_evaluate(graph, structure, keep, inputs)["logits"]
    np.testing.assert_allclose(evaluate(shrunk, inputs)["logits"], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert graph_cost(shrunk).params < graph_cost(graph).params
