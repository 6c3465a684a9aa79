"""Quantisation-aware training: a network that was quantised after training learns to live with its integers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascompiler.data.dataset import Dataset
from nascompiler.ir import Graph, Node, Quantization, UsageError, Value, verify
from nascompiler.passes import run_pipeline
from nascompiler.passes.quantization.insertion import Scales
from nascompiler.passes.quantization.quantizer import Quantized
from nascompiler.torch_bridge import to_module
from nascompiler.torch_bridge.quantization_aware import (
    QuantizationAware,
    from_quantization_aware,
    to_quantization_aware,
)
from nascompiler.training.accuracy import evaluate_accuracy
from nascompiler.training.devices import reproducible
from nascompiler.training.recipe import Recipe
from nascompiler.training.trainer import Epoch, check_fit, module_run, training_batches

FINE_TUNING = Recipe(
    epochs=1, batch_size=64, learning_rate=3e-4, warm_up_epochs=0.1, weight_decay=0.0, label_smoothing=0.0
)
"""Short, since the network is trained. The learning rate of quantised weights is in units of the largest weight of a
channel, see `torch_bridge.fake_quantization.WeightQuantizer`."""

DISTILLATION = 0.5
"""Half of the loss. What 8 bits add to the logits is noise that training towards the float network alone hardly lowers;
labels go on teaching, and the float network keeps the predictions together."""


@dataclass(frozen=True)
class FineTuned:
    """The quantised network with weights and ranges as trained, and how it came about.

    `before` is the accuracy on the held-out images that it started from. The accuracies are those of the fake-quantised
    graph.
    """

    quantized: Quantized
    recipe: Recipe
    seed: int
    before: float
    epochs: tuple[Epoch, ...]


def fine_tune(
    quantized: Quantized,
    data: Dataset,
    recipe: Recipe = FINE_TUNING,
    *,
    seed: int = 0,
    distillation: float = DISTILLATION,
    range_rate: float = 1.0,
    progress: Callable[[Epoch], None] | None = None,
) -> FineTuned:
    """Train weights, biases, scales and zero points of a quantised network on the training images of `data`.

    The network has one input [N, H, W, C] and one output, logits [N, classes]. What the loss is made of: a part
    `distillation`, 0 to 1, is the divergence from the probabilities of the float network (Hinton et al. 2015,
    arXiv:1503.02531, temperature 1), the rest the cross entropy with the labels. Scales and zero points learn at
    `range_rate` times the learning rate. Batch norms are folded before a network is quantised, so there are no
    statistics to track or to freeze.

    The graphs of the result have the structure of those given. The same arguments give the same result, bit for bit, on
    machines of the same kind with the same torch. Raises UsageError when network and data do not fit, when there is
    nothing to train, and when the loss becomes infinite.
    """
    if not 0 <= distillation <= 1:
        raise UsageError(f"distillation is {distillation}; accepted: numbers from 0 to 1")
    check_fit(quantized.fake, data)
    with reproducible(seed, recipe.threads):
        student = to_quantization_aware(quantized.fake)
        teacher = to_module(quantized.prepared).eval() if distillation else None
        before = evaluate_accuracy(module_run(student.module), data.held_out)
        epochs = _fit(student, teacher, data, recipe, seed, distillation, range_rate, progress)
        fake = from_quantization_aware(quantized.fake, student)
    verify(fake)
    return FineTuned(_with_graph(quantized, fake), recipe, seed, before, epochs)


def _fit(
    student: QuantizationAware,
    teacher: nn.Module | None,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    distillation: float,
    range_rate: float,
    progress: Callable[[Epoch], None] | None,
) -> tuple[Epoch, ...]:
    module = student.module
    optimizer = torch.optim.AdamW(_parameter_groups(student, recipe, range_rate))
    steps = max(1, len(data.train) // recipe.batch_size)
    rows = []
    for number in range(recipe.epochs):
        began, total = time.monotonic(), 0.0
        module.train()
        for step, (images, labels) in zip(
            range(steps), training_batches(data.train, recipe, seed, number), strict=False
        ):
            rate = recipe.learning_rate_at((number * steps + step + 1) / (recipe.epochs * steps))
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            batch = torch.from_numpy(images)
            loss = _loss(module(batch), torch.from_numpy(labels), teacher, batch, distillation, recipe.label_smoothing)
            if not torch.isfinite(loss):
                raise UsageError(
                    f"fine-tuning diverges at step {number * steps + step}: the loss is {float(loss.detach())}; "
                    f"accepted: a smaller learning rate than {recipe.learning_rate:g}"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach())
        accuracy = evaluate_accuracy(module_run(module), data.held_out)
        rows.append(Epoch(number + 1, total / steps, accuracy, time.monotonic() - began))
        if progress is not None:
            progress(rows[-1])
    return tuple(rows)


def _loss(
    logits: Tensor, labels: Tensor, teacher: nn.Module | None, images: Tensor, distillation: float, smoothing: float
) -> Tensor:
    loss = torch.zeros(())
    if distillation < 1:
        loss = loss + (1 - distillation) * F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if teacher is not None:
        with torch.no_grad():
            wanted = F.log_softmax(teacher(images), -1)
        divergence = F.kl_div(F.log_softmax(logits, -1), wanted, reduction="batchmean", log_target=True)
        loss = loss + distillation * divergence
    return loss


def _parameter_groups(student: QuantizationAware, recipe: Recipe, range_rate: float) -> list[dict[str, object]]:
    """Weights, biases and scales; zero points move by whole steps of a range, which has 255."""
    quantizers = set(student.activations.values())
    scales = [*(q.log_change for q in quantizers), *(q.log_change for q in student.weights.values())]
    zero_points = [q.real_zero_point for q in quantizers]
    apart = {id(p) for p in (*scales, *zero_points)}
    others = [p for p in student.module.parameters() if id(p) not in apart]
    return [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": recipe.weight_decay, "factor": 1.0},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0, "factor": 1.0},
        {"params": scales, "weight_decay": 0.0, "factor": range_rate},
        {"params": zero_points, "weight_decay": 0.0, "factor": range_rate * 255},
    ]


def _with_graph(quantized: Quantized, fake: Graph) -> Quantized:
    """The same with another fake-quantised graph of the same structure, and all that follows from it."""
    graph = run_pipeline(fake, "fake-quantization-to-integer")
    plan = quantized.plan
    pairs = list(zip(plan.graph.nodes, (n for n in fake.nodes if n.op.dialect != "qnn"), strict=True))
    twins: dict[Value, Value] = dict(zip(plan.graph.inputs, fake.inputs, strict=True))
    for ours, theirs in pairs:
        twins.update(zip(ours.results, theirs.results, strict=True))
    activations = dict(quantized.activations)
    weights: dict[Node, Scales] = dict(quantized.weights)
    for ours, theirs in pairs:
        # Bias correction gives a bias to layers without one, behind the operands that both have.
        for value, operand in zip(ours.operands, theirs.operands[: len(ours.operands)], strict=True):
            if value in activations and value.is_constant and operand.producer is not None:
                activations[value] = _quantization(operand.producer.operands[0].producer)
        if ours in weights:
            restored = theirs.operands[1].producer
            assert restored is not None
            weights[ours] = np.asarray(restored.operands[1].array, np.float32)
    for value in activations:
        for user in twins[value].users if value in twins else ():
            if user.op.name == "qnn.quantize":
                activations[value] = _quantization(user)
    return replace(quantized, activations=activations, weights=weights, fake=fake, graph=graph)


def _quantization(node: Node | None) -> Quantization:
    assert node is not None
    return Quantization.per_tensor(node["scale"], node["zero_point"])
