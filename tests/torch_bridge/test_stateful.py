"""Dropout and drop-path: in training only, per element or per example, on NASNet's schedule."""

import pytest
import torch

from nascompiler.ir import Builder
from nascompiler.torch_bridge import DropPath, to_module
from tests.torch_bridge.networks import mobile_net


def single(op, shape, **attributes):
    b = Builder()
    x = b.nn.max_pool2d(b.input("x", shape), kernel=(1, 1)) if len(shape) == 4 else b.input("x", shape)
    return to_module(b.outputs(y=b.op(f"nn.{op}", x, **attributes)))


def test_dropout_acts_on_elements_in_training_only():
    module = single("dropout", (200, 50), rate=0.3)
    x = torch.ones(200, 50)
    made = module(x)
    assert made.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert (made == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(module.eval()(x), x)


@pytest.mark.parametrize("shape", [(2000, 3), (2000, 2, 2, 3)])
def test_drop_path_drops_whole_examples_and_keeps_the_mean(shape):
    module = single("drop_path", shape, keep_probability=0.6)
    x = torch.ones(shape)
    rows = module(x).reshape(shape[0], -1)
    assert torch.equal(rows.amin(1), rows.amax(1))
    assert rows.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert rows.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(module.eval()(x), x)


def test_the_schedule_goes_linearly_from_one_to_the_final_probability():
    """NASNet: keep = 1 - t * l * (1 - p), with the final keep of the node 1 - l * (1 - p)."""
    module = to_module(mobile_net(keep=0.8))
    paths = [m for m in module.modules() if isinstance(m, DropPath)]
    assert len(paths) == 2
    for progress, keep in ((0, 1.0), (0.5, 0.9), (1, 0.8), (7, 0.8), (-1, 1.0)):
        module.set_drop_path_progress(progress)
        assert [p.keep for p in paths] == pytest.approx([keep] * 2)
    module.set_drop_path_progress(0)
    x = torch.randn(5, 3)
    assert torch.equal(paths[0].train()(x), x)


def test_a_network_is_random_in_training_and_not_in_evaluation():
    module = to_module(mobile_net(keep=0.5, dropout=0.5))
    x = torch.randn(8, 16, 16, 3)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))
