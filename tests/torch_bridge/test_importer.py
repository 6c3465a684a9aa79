"""Modules of torch, traced and imported: against torch itself, for each kind of layer and for small networks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nascompiler.ir import UsageError, evaluate, verify
from nascompiler.ir.cost import graph_cost
from nascompiler.passes import run_pipeline
from nascompiler.torch_bridge import TorchError, UnsupportedOpsError, import_torch, to_module
from tests.torch_bridge.comparing import assert_agrees


class Calls(nn.Module):
    """Many functions of the same inputs, so that one trace checks them all."""

    def __init__(self, functions):
        super().__init__()
        self.functions = functions

    def forward(self, *inputs):
        return {name: function(*inputs) for name, function in self.functions.items()}


class InvertedResidual(nn.Module):
    """MobileNetV3's block as torchvision writes it."""

    def __init__(self, channels, expanded):
        super().__init__()
        self.expand = nn.Sequential(
            nn.Conv2d(channels, expanded, 1, bias=False), nn.BatchNorm2d(expanded), nn.Hardswish()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(expanded, expanded, 5, padding=2, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded, eps=1e-3),
            nn.Hardswish(inplace=True),
        )
        self.fc1, self.fc2 = nn.Conv2d(expanded, 4, 1), nn.Conv2d(4, expanded, 1)
        self.project = nn.Sequential(nn.Conv2d(expanded, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        gate = F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(y, 1)))))
        return x + self.project(y * gate)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.block = InvertedResidual(8, 16)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 5))

    def forward(self, image):
        x = self.pool(self.block(self.stem(image)))
        x = torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1)
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


def settled(module):
    """The module in eval mode, with statistics and affine parameters that are not 0 and 1."""
    for part in module.modules():
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if (
                isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d))
                and tensor is not None
                and tensor.dtype.is_floating_point
            ):
                low = 0.5 if name in ("weight", "running_var") else -0.5
                tensor.data.uniform_(low, low + 1)
    return module.eval()


def check(module, *inputs, **how):
    """Import, compare with torch by the evaluator and as a module; returns the graph."""
    settled(module)
    graph = import_torch(module, inputs, **how)
    verify(graph)
    with torch.no_grad():
        made = module(*inputs)
    results = (
        list(made.values()) if isinstance(made, dict) else [made] if isinstance(made, torch.Tensor) else list(made)
    )
    expected = {name: t.numpy() for name, t in zip(graph.output_names, results, strict=True)}
    arrays = {v.name: t.numpy() for v, t in zip(graph.inputs, inputs, strict=True)}
    assert_agrees(evaluate(graph, arrays), expected)
    assert_agrees(to_module(graph).eval().run(arrays), expected)
    return graph


def functions(**named):
    return Calls(named)


def test_a_small_mobile_net():
    image = torch.randn(2, 3, 32, 32)
    network = Network()
    graph = check(network, image)
    assert [v.name for v in graph.inputs] == ["image"]
    assert graph.inputs[0].type.shape == (2, 3, 32, 32)
    assert graph.output_names == ["output"]
    assert graph_cost(graph).params == sum(p.numel() for p in network.parameters())
    assert any(n.origin.startswith("torch:block.depthwise.0/") for n in graph.nodes)
    inside = run_pipeline(graph, "propagate-layout,eliminate-dead-code")
    assert sum(n.op.name == "nn.transpose" for n in inside.nodes) <= 2
    assert_agrees(evaluate(inside, {"image": image.numpy()}), {"output": network(image).detach().numpy()})


def test_imported_networks_take_the_state_dicts_of_their_modules():
    network = settled(Network())
    graph = import_torch(network, (torch.zeros(1, 3, 32, 32),))
    module = to_module(graph).eval()
    other = settled(Network())
    module.load_state_dict(other.state_dict())
    image = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(module(image), other(image), rtol=1e-4, atol=1e-5)


def test_dropout_stays_and_harmless_effects_in_place_are_functions():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(0.25), nn.Linear(16, 2))
    graph = check(network, torch.randn(2, 3, 2, 2))
    assert [n["rate"] for n in graph.nodes if n.op.name == "nn.dropout"] == [0.25]


def test_effects_in_place_that_others_see():
    class Net(nn.Module):
        def forward(self, x):
            y = x * 2
            part = y[:, 1]
            part.mul_(3)
            z = y + 1
            return z.relu_() + z, y.clone().add_(1)

    check(Net(), torch.randn(2, 3, 2))


def test_training_mode_is_left_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4).eval())
    import_torch(network, (torch.zeros(2, 3),))
    assert [part.training for part in network.modules()] == [True, True, True, False]


def test_open_sizes_become_symbols():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    graph = check(network, torch.randn(2, 3, 8, 8), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert isinstance(graph.inputs[0].type.shape[0], str)
    assert graph.outputs[0].type.shape == (graph.inputs[0].type.shape[0], 5)
    image = torch.randn(3, 3, 8, 8)
    made = evaluate(graph, {"input": image.numpy()})
    assert_agrees(made, {"output": network(image).detach().numpy()})


def test_open_sizes_in_reshapes_and_new_tensors():
    class Net(nn.Module):
        def forward(self, x):
            n, c, h, w = x.shape
            y = x.view(n * c, h * w) + torch.zeros(n * c, 1)
            return y.reshape(n, c, -1).expand(n, c, h * w), torch.ones(n, 3), x.flatten(0, 1)

    dims = {0: torch.export.Dim("n"), 2: torch.export.Dim("h")}
    graph = check(Net(), torch.randn(2, 3, 4, 5), dynamic_shapes=(dims,))
    x = np.random.default_rng(0).standard_normal((4, 3, 6, 5)).astype(np.float32)
    assert evaluate(graph, {"x": x})["output_0"].shape == (4, 3, 30)


def test_outputs_are_named_by_dictionaries_and_places():
    class Net(nn.Module):
        def forward(self, x):
            return {"boxes": x + 1, "scores": (x * 2, x - 1)}, x

    graph = import_torch(Net(), (torch.ones(2),))
    assert graph.output_names == ["output_0_boxes", "output_0_scores_0", "output_0_scores_1", "output_1"]
    with_names = import_torch(functions(a=torch.relu, b=torch.neg), torch.ones(2))
    assert with_names.output_names == ["a", "b"]


def test_activations():
    names = (
        "relu relu6 sigmoid tanh hardtanh hardswish hardsigmoid silu mish elu selu celu leaky_relu softplus softsign"
    )
    calls = {name: getattr(F, name) for name in names.split()}
    graph = check(
        functions(
            **calls,
            gelu=F.gelu,
            gelu_tanh=lambda x: F.gelu(x, approximate="tanh"),
            bounded=lambda x: F.hardtanh(x, -2, 1),
            clamp=lambda x: x.clamp(-1, 0.5),
            clamp_min=lambda x: x.clamp_min(0.1),
            clamp_tensor=lambda x: torch.clamp(x, max=torch.full((8,), 0.3)),
            beta=lambda x: F.softplus(x, 2.0),
            softmax=lambda x: x.softmax(1),
            log_softmax=lambda x: F.log_softmax(x, -1),
            glu=lambda x: F.glu(x, 1),
            logsigmoid=F.logsigmoid,
        ),
        torch.randn(2, 6, 4, 8) * 3,
    )
    ops = {n.op.name for n in graph.nodes}
    assert {"nn.relu6", "nn.hard_swish", "nn.hard_sigmoid", "nn.swish"} <= ops


def test_arithmetic_and_types():
    check(
        functions(
            alpha=lambda x, i: torch.add(x, x * 2, alpha=3),
            mixed=lambda x, i: x + i,
            scalar=lambda x, i: i * 1.5,
            whole=lambda x, i: i + 2,
            reversed=lambda x, i: 1 - x,
            quotient=lambda x, i: i / 2,
            floor=lambda x, i: torch.div(i, 2, rounding_mode="floor"),
            trunc=lambda x, i: torch.div(i, 2, rounding_mode="trunc"),
            float_floor=lambda x, i: x // 0.5,
            power=lambda x, i: x**2,
            root=lambda x, i: x.abs().sqrt() + (x.abs() + 1).rsqrt() + x.square(),
            exponentials=lambda x, i: x.exp() + (x.abs() + 1).log(),
            remainder=lambda x, i: torch.remainder(x, 0.7) + torch.fmod(x, 0.3),
            rounding=lambda x, i: x.round() + x.floor() + x.ceil() + x.sign() + x.erf() + (x + 10).reciprocal(),
            extremes=lambda x, i: torch.maximum(x, -x) + torch.minimum(x, x * 2),
            compared=lambda x, i: (x > 0) & ~(i == 3) | (i != 2),
            promoted=lambda x, i: i > 0.5,
            where=lambda x, i: torch.where(x > 0, x, 0.0),
            masked=lambda x, i: x.masked_fill(i > 0, -1.0),
            cast=lambda x, i: x.to(torch.int32) + i.float().int(),
            double=lambda x, i: x.double() * 2,
        ),
        torch.randn(3, 4) * 2,
        torch.arange(-6, 6).reshape(3, 4),
    )


def test_convolutions():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                [
                    nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
                    nn.Conv2d(4, 8, 3, groups=2, padding="same"),
                    nn.Conv2d(4, 8, 4, groups=4, padding="same", bias=False),
                    nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
                    nn.ConvTranspose2d(4, 6, (2, 3), stride=(1, 3), groups=2, dilation=(2, 1), bias=False),
                ]
            )
            self.line = nn.ModuleList([nn.Conv1d(9, 5, 3, stride=2, padding=1), nn.ConvTranspose1d(9, 5, 4, stride=2)])
            self.norm = nn.BatchNorm1d(5)

        def forward(self, x):
            line = x[:, 0]
            return [*(layer(x) for layer in self.layers), self.norm(self.line[0](line)), self.line[1](line)]

    check(Net(), torch.randn(2, 4, 9, 8))


def test_pooling():
    check(
        functions(
            max=lambda x: F.max_pool2d(x, 3, 2, 1),
            max_ceil=lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True),
            max_dilated=lambda x: F.max_pool2d(x, 3, 1, dilation=2),
            average=lambda x: F.avg_pool2d(x, 3, 2, 1),
            average_ceil=lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
            average_inside=lambda x: F.avg_pool2d(x, (3, 2), (2, 1), 1, ceil_mode=True, count_include_pad=False),
            average_ceil_plain=lambda x: F.avg_pool2d(x, 2, 2, ceil_mode=True),
            line=lambda x: F.max_pool1d(x[:, 0], 2) + F.avg_pool1d(x[:, 0], 2),
            one=lambda x: F.adaptive_avg_pool2d(x, 1),
            one_max=lambda x: F.adaptive_max_pool2d(x, 1),
            thirds=lambda x: F.adaptive_avg_pool2d(x, (3, None)),
            one_line=lambda x: F.adaptive_avg_pool1d(x[:, 0], 1),
        ),
        torch.randn(2, 3, 9, 8),
    )


def test_normalization():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.plain = nn.LayerNorm((4, 5)), nn.LayerNorm(5, elementwise_affine=False)
            self.group, self.instance = nn.GroupNorm(3, 6), nn.InstanceNorm2d(6, affine=True)
            self.batch, self.bare = nn.BatchNorm2d(6), nn.BatchNorm1d(6, affine=False)

        def forward(self, x):
            flat = self.bare(x.mean((2, 3)))
            return self.layer(x), self.plain(x), self.group(x), self.instance(x), self.batch(x), flat, F.normalize(x)

    check(Net(), torch.randn(2, 6, 4, 5))


def test_matrix_products_and_attention():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 4)
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x):
            causal = F.scaled_dot_product_attention(x, x, x, is_causal=True)
            masked = F.scaled_dot_product_attention(x, x, x, attn_mask=torch.ones(5, 5).tril() * 0.5)
            return [
                self.linear(x),
                self.linear(x[0]),
                torch.addmm(x[0, 0], x[0], torch.ones(6, 6)),
                x @ x.transpose(1, 2),
                torch.einsum("nij,nkj->nik", x, x),
                causal,
                masked,
                self.attention(x, x, x)[0],
            ]

    check(Net(), torch.randn(2, 5, 6))


def test_shapes_and_selection():
    check(
        functions(
            view=lambda x: x.view(2, -1),
            flatten=lambda x: x.flatten(1, 2),
            unflatten=lambda x: x.unflatten(1, (2, -1)),
            permute=lambda x: x.permute(0, 2, 3, 1).contiguous(),
            transpose=lambda x: x.transpose(-1, 1),
            t=lambda x: x[0, 0].t(),
            squeeze=lambda x: x[:1].squeeze() + x[:1].squeeze(0),
            unsqueeze=lambda x: x.unsqueeze(-1),
            expand=lambda x: x[:, :1].expand(-1, 3, -1, 5),
            repeat=lambda x: x.repeat(2, 1, 1, 2),
            cat=lambda x: torch.cat([x, x * 2], dim=-1),
            stack=lambda x: torch.stack([x, -x], 1),
            split=lambda x: torch.cat(torch.split(x, 4, 1)[::-1], 1),
            sizes=lambda x: torch.split(x, [1, 5], 1)[1],
            chunk=lambda x: x.chunk(2, 1)[0],
            unbind=lambda x: x.unbind(1)[2],
            slice=lambda x: x[:, 1:-1:2, ..., -3:],
            select=lambda x: x[:, -1] + x.select(1, 2),
            narrow=lambda x: x.narrow(1, 1, 3),
            flip=lambda x: x.flip(1, 3),
            index=lambda x: x[:, torch.tensor([2, 0, 5])],
            index_select=lambda x: x.index_select(3, torch.tensor([0, 0, 4])),
            pad=lambda x: F.pad(x, (1, 2, 0, 1), value=0.5),
            reflect=lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"),
            replicate=lambda x: F.pad(x, (1, 2, 3, 1), mode="replicate"),
            circular=lambda x: F.pad(x, (1, 2, 2, 1), mode="circular"),
            shuffle=lambda x: F.pixel_shuffle(x[:, :4], 2),
            unshuffle=lambda x: F.pixel_unshuffle(x[..., :4], 2),
            channel_shuffle=lambda x: F.channel_shuffle(x, 3),
            arange=lambda x: x + torch.arange(5),
            full=lambda x: x + torch.full_like(x, 2) + torch.ones(5) + torch.zeros_like(x),
        ),
        torch.randn(2, 6, 4, 5),
    )


def test_reductions():
    check(
        functions(
            mean=lambda x: x.mean((2, 3)),
            mean_all=lambda x: x.mean(),
            total=lambda x: x.sum(-1, keepdim=True) + x.sum(),
            largest=lambda x: x.amax((1, 2)) + x.max() + x.max(1).values.amax(1),
            smallest=lambda x: x.amin(1, keepdim=True) + x.min(),
            places=lambda x: x.argmax(1) + x.max(1).indices + x.argmin(1) + x.argmax(),
            product=lambda x: x.prod(1),
            variance=lambda x: x.var((2, 3)) + x.var(-1, unbiased=False, keepdim=True).sum((2, 3)),
            deviation=lambda x: x.std(1),
            norm=lambda x: torch.linalg.vector_norm(x, dim=1) + torch.linalg.vector_norm(x, ord=torch.inf),
        ),
        torch.randn(2, 3, 4, 5),
    )


def test_resizing():
    def interpolate(**how):
        return lambda x: F.interpolate(x, **how)

    check(
        functions(
            nearest=interpolate(scale_factor=2, mode="nearest"),
            nearest_size=interpolate(size=(7, 9), mode="nearest"),
            nearest_odd=interpolate(scale_factor=1.7, mode="nearest"),
            exact=interpolate(size=(9, 4), mode="nearest-exact"),
            bilinear=interpolate(scale_factor=2, mode="bilinear"),
            bilinear_size=interpolate(size=(3, 11), mode="bilinear"),
            bilinear_odd=interpolate(scale_factor=(1.3, 2.6), mode="bilinear"),
            recomputed=interpolate(scale_factor=1.3, mode="bilinear", recompute_scale_factor=True),
            corners=interpolate(size=(9, 4), mode="bilinear", align_corners=True),
            one=interpolate(size=(1, 1), mode="bilinear"),
        ),
        torch.randn(2, 3, 5, 7),
    )


@pytest.mark.parametrize("layers, bidirectional, batch_first, bias", [(1, False, False, True), (2, True, True, False)])
def test_lstm(layers, bidirectional, batch_first, bias):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(5, 4, layers, bias=bias, bidirectional=bidirectional, batch_first=batch_first)

        def forward(self, x):
            y, (h, c) = self.lstm(x)
            return y, h, c

    graph = check(Net(), torch.randn(3, 6, 5))
    assert sum(n.op.name == "nn.lstm" for n in graph.nodes) == layers * (1 + bidirectional)


def test_lstm_cell_gru_and_embedding():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.gru, self.cell = nn.Embedding(9, 5), nn.GRU(5, 4), nn.LSTMCell(5, 4)

        def forward(self, words):
            x = self.table(words)
            return self.gru(x)[0], *self.cell(x[0])

    check(Net(), torch.tensor([[1, 2], [8, 0], [3, 3]]))


def test_every_operator_that_is_not_supported_is_listed():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = Calls({"sorted": lambda x: torch.sort(x).values})

        def forward(self, x):
            y = self.one(x)["sorted"]
            z = torch.fft.fft(x).real
            return F.adaptive_avg_pool2d(x, 2), z, torch.cumsum(x, 1), F.adaptive_avg_pool2d(y, 3)

    with pytest.raises(UnsupportedOpsError) as caught:
        import_torch(Net(), (torch.randn(1, 3, 5, 5),))
    operators = [node.operator for node in caught.value.nodes]
    assert {"aten.sort.default", "aten.cumsum.default", "aten.adaptive_avg_pool2d.default"} <= set(operators)
    assert any("fft" in name for name in operators)
    assert any(node.name.startswith("one/") for node in caught.value.nodes)
    assert "sizes that divide" in str(caught.value)
    assert operators.count("aten.adaptive_avg_pool2d.default") == 1  # the other one only has a refused operand


def test_modules_that_change_while_running_are_refused():
    norm = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    program = torch.export.export(norm.train(), (torch.randn(2, 3, 4, 4),))
    with pytest.raises(UnsupportedOpsError, match="eval mode"):
        import_torch(program)


def test_what_cannot_be_traced_or_is_no_module():
    class Net(nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    with pytest.raises(TorchError, match="cannot trace Net"):
        import_torch(Net(), (torch.ones(2),))
    with pytest.raises(UsageError, match="example inputs"):
        import_torch(Net())
    with pytest.raises(UsageError, match="no torch"):
        import_torch("model.pt", (torch.ones(2),))
    with pytest.raises(UnsupportedOpsError, match=r"torch\.bfloat16 is not supported"):
        import_torch(nn.Linear(2, 2).bfloat16(), (torch.ones(1, 2, dtype=torch.bfloat16),))
