"""The optimizer that a recipe names, over the parameters of a module."""

from __future__ import annotations

import torch
from torch import nn

from nascompiler.training.recipe import Recipe

RMSPROP_DECAY, RMSPROP_EPSILON = 0.9, 1e-3
"""As MnasNet (arXiv:1807.11626, section 5) and MobileNetV3 have them; epsilon outside of the root, as torch has it."""


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """An optimizer for all trainable parameters of the module, its learning rate that of the recipe."""
    groups = parameter_groups(module, recipe.weight_decay)
    rate = recipe.learning_rate
    # Not `fused=False`, which would also take away the choice that torch makes by itself.
    fused = True if recipe.fused else None
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=fused)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=RMSPROP_DECAY, eps=RMSPROP_EPSILON, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=rate, fused=fused)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """The parameters for an optimizer: weight decay for matrices and kernels, none for vectors."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
