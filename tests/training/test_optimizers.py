"""Optimizers by name: each learns, and vectors are not decayed."""

import pytest

torch = pytest.importorskip("torch")

from nascompiler.training.optimizers import make_optimizer  # noqa: E402
from nascompiler.training.recipe import OPTIMIZERS, Recipe  # noqa: E402


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_makes_the_loss_smaller(name, fused):
    torch.manual_seed(0)
    module, x = torch.nn.Linear(4, 2), torch.randn(64, 4)
    wanted = x @ torch.randn(4, 2)
    optimizer = make_optimizer(module, Recipe(optimizer=name, learning_rate=0.01, weight_decay=0.0, fused=fused))
    losses = []
    for _ in range(30):
        loss = (module(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_weight_decay_is_for_matrices():
    optimizer = make_optimizer(torch.nn.Linear(4, 2), Recipe(weight_decay=0.1))
    decays = {parameter.ndim: g["weight_decay"] for g in optimizer.param_groups for parameter in g["params"]}
    assert decays == {2: 0.1, 1: 0.0}
