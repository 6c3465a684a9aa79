"""Graphs as modules: agreement, names, layouts, training and the way back."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch

from nascompiler import api
from nascompiler.ir import Builder, Graph, ModelError, OpDef, TensorType, evaluate, parse, structurally_equal, verify
from nascompiler.ir.cost import graph_cost
from nascompiler.ir.ops import floats
from nascompiler.passes import run_pipeline
from nascompiler.torch_bridge import TorchError, UnsupportedOpsError, from_module, to_module
from tests.torch_bridge.comparing import assert_agrees
from tests.torch_bridge.networks import Blocks, images, mobile_net


def train(module, graph, steps=3, rate=0.05):
    """A few steps of gradient descent towards fixed targets; returns the losses."""
    inputs = {name: torch.from_numpy(a) for name, a in images(graph).items()}
    optimizer = torch.optim.SGD(module.parameters(), rate)
    losses = []
    module.train()
    for _ in range(steps):
        made = module(**inputs)
        loss = (made - torch.arange(made.numel()).reshape(made.shape) / made.numel()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_network_agrees_with_the_reference():
    graph = mobile_net()
    inputs = images(graph)
    module = to_module(graph).eval()
    assert_agrees(module.run(inputs), evaluate(graph, inputs))
    assert module.input_names == ("image",)
    assert module.output_names == ("logits",)


def test_any_batch_goes_through():
    module = to_module(mobile_net(batch=1)).eval()
    many = torch.randn(7, 16, 16, 3)
    together = module(many)
    assert together.shape == (7, 5)
    torch.testing.assert_close(together[3:4], module(many[3:4]), rtol=1e-4, atol=1e-5)


def test_parameters_are_those_of_the_graph_under_their_names_in_torch_layouts():
    graph = mobile_net()
    module = to_module(graph)
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    assert sum(p.numel() for p in module.parameters()) == graph_cost(graph).params
    assert shapes["stem.0.weight"] == (8, 3, 3, 3)
    assert shapes["blocks.0.depthwise.0.weight"] == (24, 1, 3, 3)
    assert shapes["head.weight"] == (5, 36)
    assert isinstance(module.get_submodule("stem.1"), torch.nn.BatchNorm2d)
    assert module.get_submodule("stem.1").eps == 1e-3
    assert set(module.state_dict()) - set(shapes) == {
        f"{name}.{part}"
        for name, child in module.named_modules()
        if isinstance(child, torch.nn.BatchNorm2d)
        for part in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_state_dicts_of_torch_fit():
    """Names as torchvision's, so that published weights load."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8))
            self.classifier = torch.nn.Linear(8, 5)

        def forward(self, x):
            return self.classifier(self.features(x).relu().mean((2, 3)))

    b = Blocks()
    x = b.builder.input("x", (2, 6, 6, 3))
    y = b.builder.nn.conv2d(x, b.weight("features.0.weight", 3, 3, 3, 8))
    y = b.builder.nn.relu(b.batch_norm("features.1", y))
    module = to_module(b.builder.outputs(y=b.classifier("classifier", y, 5))).eval()
    theirs = Net().eval()
    module.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(module(image.permute(0, 2, 3, 1)), theirs(image), rtol=1e-5, atol=1e-6)


def test_gradients_reach_every_parameter():
    graph = mobile_net(keep=0.9, dropout=0.1)
    module = to_module(graph)
    train(module, graph, steps=1)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_trained_weights_and_statistics_come_back():
    graph = mobile_net(keep=0.8, dropout=0.2)
    before = {name: a.copy() for name, a in evaluate(graph, images(graph)).items()}
    module = to_module(graph, momentum=0.3)
    losses = train(module, graph, steps=6)
    assert losses[-1] < losses[0]
    trained = from_module(graph, module)
    verify(trained)
    inputs = images(graph, seed=9)
    assert_agrees(module.eval().run(inputs), evaluate(trained, inputs))
    assert not np.allclose(evaluate(trained, images(graph))["logits"], before["logits"], atol=1e-3)
    np.testing.assert_array_equal(evaluate(graph, images(graph))["logits"], before["logits"])
    assert [n.op.name for n in trained.nodes] == [n.op.name for n in graph.nodes]
    assert [v.name for v in trained.constants] == [v.name for v in graph.constants]


def test_an_untrained_module_gives_the_graph_back():
    graph = mobile_net()
    assert structurally_equal(from_module(graph, to_module(graph)), graph)


def test_weights_go_into_any_copy_of_the_graph_and_into_no_other():
    graph = mobile_net()
    module = to_module(graph)
    with torch.no_grad():
        module.get_parameter("head.bias").zero_()
    assert structurally_equal(from_module(graph.clone(), module), from_module(graph, module))
    other = Blocks()
    x = other.builder.input("x", (1, 4, 4, 3))
    other_graph = other.builder.outputs(y=other.classifier("head", x, 2))
    with pytest.raises(TorchError, match="made of another graph"):
        from_module(other_graph, module)
    with pytest.raises(TorchError, match="was not made by to_module"):
        from_module(graph, torch.nn.Linear(2, 2))


def test_batch_norm_statistics_move_in_training_only_and_by_the_momentum():
    graph = mobile_net()
    module = to_module(graph, momentum=0.25)
    norm = module.get_submodule("stem.1")
    mean = norm.running_mean.clone()
    module.eval()
    module.run(images(graph))
    torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=0)
    image = torch.from_numpy(images(graph)["image"])
    seen = []
    norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().mean((0, 2, 3))))
    module.train()
    module(image)
    torch.testing.assert_close(norm.running_mean, 0.75 * mean + 0.25 * seen[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shape, axis",
    [((6, 4), 1), ((5, 3, 4), -1), ((5, 4, 3), 1), ((2, 3, 3, 4), 3), ((2, 4, 3, 3), 1), ((2, 3, 4, 3), 2)],
)
def test_batch_norm_of_other_ranks_and_axes_is_a_module_too(shape, axis):
    b = Blocks()
    x = b.builder.input("x", shape)
    operands = [b.vector(name, 4, 0.5, 1.5) for name in ("scale", "shift", "mean", "variance")]
    graph = b.builder.outputs(y=b.builder.nn.batch_norm(x, *operands, axis=axis))
    module = to_module(graph)
    module(torch.randn(shape))
    statistics = module.get_submodule("batch_norm")
    assert int(statistics.num_batches_tracked) == 1
    inputs = images(graph)
    assert_agrees(module.eval().run(inputs), evaluate(from_module(graph, module), inputs))


def test_a_constant_used_twice_is_one_parameter_and_stays_one():
    b = Blocks()
    x = b.builder.input("x", (3, 4))
    shared = b.weight("shared", 4, 4)
    y = b.builder.nn.matmul(b.builder.nn.relu(b.builder.nn.linear(x, shared)), shared)
    graph = b.builder.outputs(y=y)
    module = to_module(graph)
    assert [name for name, _ in module.named_parameters()] == ["shared"]
    train(module, graph)
    trained = from_module(graph, module)
    assert len(trained.constants) == 1
    assert_agrees(module.eval().run(images(graph)), evaluate(trained, images(graph)))


def test_a_constant_that_is_bias_and_mean_is_trained_apart():
    b = Blocks()
    x = b.builder.input("x", (6, 4))
    zero, one = b.vector("zero", 4, 0, 0), b.vector("one", 4, 1, 1)
    y = b.builder.nn.batch_norm(x, one, zero, zero, one)
    graph = b.builder.outputs(y=b.builder.nn.batch_norm(b.builder.nn.tanh(y), one, zero, zero, one))
    module = to_module(graph)
    assert sum(1 for _ in module.parameters()) == 2
    train(module, graph)
    trained = from_module(graph, module)
    assert_agrees(module.eval().run(images(graph)), evaluate(trained, images(graph)))
    assert len(trained.constants) == 6


def test_literals_are_not_trained():
    b = Builder()
    x = b.input("x", (2, 3))
    half = b.constant(np.float32(0.5))
    graph = b.outputs(y=b.nn.mul(b.nn.add(x, b.constant(np.ones(3, np.float32), "bias")), half))
    assert [name for name, _ in to_module(graph).named_parameters()] == ["bias"]


def test_names_that_torch_has_taken_get_a_number():
    b = Blocks()
    x = b.builder.input("x", (2, 4))
    for name in ("forward", "train", "a.b", "a", "a.b.c", "..", ""):
        x = b.builder.nn.linear(x, b.weight(name, 4, 4))
    graph = b.builder.outputs(y=x)
    module = to_module(graph).eval()
    assert len(dict(module.named_parameters())) == 7
    assert_agrees(module.run(images(graph)), evaluate(graph, images(graph)))


def test_images_are_permuted_at_the_edges_only():
    module = to_module(mobile_net())
    steps = [step.op for step in module._program.steps]
    assert steps.count("nn.transpose") == 2  # into the stem, and before the classifier flattens


def test_modules_can_be_copied_pickled_and_moved():
    graph = mobile_net()
    module = to_module(graph).eval()
    inputs = images(graph)
    expected = module.run(inputs)
    copied, sent = copy.deepcopy(module), pickle.loads(pickle.dumps(module))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert_agrees(copied.run(inputs), expected)
    assert_agrees(sent.run(inputs), expected)
    wide = copied.double()
    made = wide(torch.from_numpy(inputs["image"]).double())
    np.testing.assert_allclose(made.detach().numpy(), expected["logits"], rtol=1e-3, atol=1e-4)
    assert_agrees(evaluate(from_module(graph, wide), inputs), expected)
    buffer = io.BytesIO()
    torch.save(sent.state_dict(), buffer)
    buffer.seek(0)
    module.load_state_dict(torch.load(buffer, weights_only=True))
    assert_agrees(module.run(inputs), expected)


def test_inputs_by_order_or_name_and_what_is_wrong_is_said():
    b = Builder()
    one, two = b.input("one", (2,)), b.input("two", (2,))
    module = to_module(b.outputs(first=b.nn.sub(one, two), second=b.constant(np.arange(3))))
    a, c = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 1.0])
    assert module(a, c)[0].tolist() == module(two=c, one=a)[0].tolist() == module(a, two=c)[0].tolist() == [2, 3]
    assert module(a, c)[1].tolist() == [0, 1, 2]
    for given, named in (((a,), {}), ((a, c, c), {}), ((a, c), {"one": a}), ((a,), {"three": c})):
        with pytest.raises(ModelError, match="this module takes one, two"):
            module(*given, **named)


def test_a_composite_op_that_is_not_in_the_table_runs_by_its_decomposition():
    def decompose(builder, x, weight, *, factor):
        hidden = builder.nn.global_average_pool(builder.nn.conv2d(x, weight))
        return builder.nn.mul(hidden, builder.nn.sigmoid(hidden))

    from nascompiler.ir.attributes import number

    op = OpDef(
        name="nn.test_composite",
        summary="A plugin's.",
        operands=(floats("x", rank=4), floats("weight", rank=4, parameter=True)),
        attributes=(number("factor", 1.0),),
        infer=lambda x, weight, *, factor: TensorType((x.shape[0], 1, 1, weight.shape[3]), x.dtype),
        decompose=decompose,
    )
    b = Blocks()
    x = b.builder.nn.relu(b.builder.input("x", (2, 5, 5, 3)))
    graph = b.builder.graph
    node = graph.insert(op, [x, b.weight("kernel", 3, 3, 3, 4)])
    b.builder.outputs(y=node.result)
    module = to_module(graph)
    assert [name for name, _ in module.named_parameters()] == ["kernel"]
    train(module, graph)
    assert_agrees(module.eval().run(images(graph)), evaluate(from_module(graph, module), images(graph)))


def test_every_node_without_a_form_in_torch_is_listed():
    graph = Graph()
    op = OpDef(name="nn.test_alien", summary="No.", operands=(floats("x"),), infer=lambda x: x, evaluate=lambda x: x)
    x = graph.add_input("x", TensorType((2, 3)))
    first = graph.insert(op, [x], names=["one"])
    norm = [graph.constant(np.ones(2, np.float32)) for _ in range(4)]
    second = graph.insert("nn.batch_norm", [first.result, *norm], {"axis": 0}, names=["two"])
    graph.set_outputs({"y": graph.insert(op, [second.result], names=["three"]).result})
    with pytest.raises(UnsupportedOpsError) as caught:
        to_module(graph)
    assert [node.name for node in caught.value.nodes] == ["%one", "%two", "%three"]
    assert "along axis 0" in str(caught.value)
    assert caught.value.exit_code == 3


def test_architectures_are_expanded_first():
    with pytest.raises(UnsupportedOpsError, match="expand-cells"):
        to_module(api.load("mobilenet-v3-small"))


def test_an_expanded_architecture_trains_and_agrees():
    graph = run_pipeline(api.load("mobilenet-v3-small", width=0.35, resolution=32), "expand-cells")
    module = to_module(graph)
    image = torch.randn(2, 32, 32, 3)
    module(image).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    inputs = images(graph)
    assert_agrees(module.eval().run(inputs), evaluate(from_module(graph, module), inputs))


def test_weights_that_are_not_loaded_are_an_error():
    graph = parse(str(mobile_net()))
    with pytest.raises(ModelError, match="not loaded"):
        to_module(graph)
