"""Small networks as people write them, in the IR."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Graph, Value


class Blocks:
    """Adds blocks of a MobileNet to a graph, with weights from a seed and names as torch would give them."""

    def __init__(self, seed: int = 0) -> None:
        self.builder = Builder("network")
        self.random = np.random.default_rng(seed)

    def weight(self, name: str, *shape: int) -> Value:
        fan_in = float(np.prod(shape[:-1]))
        return self.builder.constant((self.random.standard_normal(shape) / fan_in**0.5).astype(np.float32), name)

    def vector(self, name: str, size: int, low: float, high: float) -> Value:
        return self.builder.constant(self.random.uniform(low, high, size).astype(np.float32), name)

    def batch_norm(self, name: str, x: Value, **how: Any) -> Value:
        channels = x.type.shape[-1]
        made: Value = self.builder.nn.batch_norm(
            x,
            self.vector(f"{name}.weight", channels, 0.5, 1.5),
            self.vector(f"{name}.bias", channels, -0.2, 0.2),
            self.vector(f"{name}.running_mean", channels, -0.2, 0.2),
            self.vector(f"{name}.running_var", channels, 0.5, 1.5),
            **how,
        )
        return made

    def conv(
        self, name: str, x: Value, features: int, kernel: int = 1, stride: int = 1, depthwise: bool = False
    ) -> Value:
        channels = x.type.shape[-1]
        weight = self.weight(f"{name}.weight", kernel, kernel, 1 if depthwise else channels, features)
        before = (kernel - stride) // 2 if stride == 2 else kernel // 2  # SAME as TensorFlow has it
        padding = (before, before, kernel // 2, kernel // 2)
        groups = channels if depthwise else 1
        made: Value = self.builder.nn.conv2d(x, weight, strides=(stride, stride), padding=padding, groups=groups)
        return made

    def conv_norm(self, name: str, x: Value, features: int, activation: str = "", **how: Any) -> Value:
        x = self.batch_norm(f"{name}.1", self.conv(f"{name}.0", x, features, **how), epsilon=1e-3)
        return self.builder.op(f"nn.{activation}", x) if activation else x

    def squeeze_excite(self, name: str, x: Value, squeezed: int) -> Value:
        channels = x.type.shape[-1]
        made: Value = self.builder.nn.squeeze_excite(
            x,
            self.weight(f"{name}.fc1.weight", channels, squeezed),
            self.vector(f"{name}.fc1.bias", squeezed, -0.1, 0.1),
            self.weight(f"{name}.fc2.weight", squeezed, channels),
            self.vector(f"{name}.fc2.bias", channels, -0.1, 0.1),
        )
        return made

    def inverted_residual(
        self, name: str, x: Value, features: int, *, expansion: int = 3, stride: int = 1, keep: float = 1.0
    ) -> Value:
        wide = x.type.shape[-1] * expansion
        y = self.conv_norm(f"{name}.expand", x, wide, "hard_swish")
        y = self.conv_norm(f"{name}.depthwise", y, wide, "hard_swish", kernel=3, stride=stride, depthwise=True)
        y = self.squeeze_excite(f"{name}.se", y, max(wide // 4, 1))
        y = self.conv_norm(f"{name}.project", y, features)
        if keep < 1:
            y = self.builder.nn.drop_path(y, keep_probability=keep)
        return y if y.type.shape != x.type.shape else self.builder.nn.add(x, y)

    def classifier(self, name: str, x: Value, classes: int, dropout: float = 0.0) -> Value:
        nn = self.builder.nn
        x = nn.flatten(nn.global_average_pool(x))
        x = nn.dropout(x, rate=dropout) if dropout else x
        made: Value = nn.linear(
            x, self.weight(f"{name}.weight", x.type.shape[-1], classes), self.vector(f"{name}.bias", classes, -0.1, 0.1)
        )
        return made


def mobile_net(*, batch: int = 2, dropout: float = 0.0, keep: float = 1.0, seed: int = 0) -> Graph:
    """Stem, three inverted residuals (the second with a skip), pools, a concat, a classifier."""
    b = Blocks(seed)
    nn = b.builder.nn
    image = b.builder.input("image", (batch, 16, 16, 3))
    x = b.conv_norm("stem", image, 8, "hard_swish", kernel=3, stride=2)
    x = b.inverted_residual("blocks.0", x, 8, keep=keep)
    x = b.inverted_residual("blocks.1", x, 12, stride=2)
    pooled = nn.average_pool2d(x, kernel=(3, 3), padding=(1, 1, 1, 1))
    x = nn.concat(x, nn.max_pool2d(x, kernel=(3, 3), padding=(1, 1, 1, 1)), pooled, axis=-1)
    x = b.inverted_residual("blocks.2", nn.relu(x), 36, keep=keep)
    return b.builder.outputs(logits=b.classifier("head", x, 5, dropout))


def images(graph: Graph, seed: int = 1) -> dict[str, np.ndarray]:
    """Random inputs for a graph with static float inputs."""
    random = np.random.default_rng(seed)
    return {v.name: random.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs}
