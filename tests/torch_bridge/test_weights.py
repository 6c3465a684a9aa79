"""State dicts from files, without unpickling strangers' objects, into graphs."""

import pickle

import pytest
import safetensors.torch
import torch

from nascompiler.ir import evaluate
from nascompiler.torch_bridge import TorchError, load_state_dict, load_weights, to_module
from tests.torch_bridge.comparing import assert_agrees
from tests.torch_bridge.networks import images, mobile_net
from tests.torch_bridge.test_archives import Explosive


@pytest.fixture
def state():
    module = to_module(mobile_net(seed=5))
    return {name: t.clone() for name, t in module.state_dict().items()}


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model"])
def test_checkpoints_and_safetensors_give_the_same_tensors(state, tmp_path, wrapped):
    torch.save({wrapped: state, "epoch": 3} if wrapped else state, tmp_path / "a.pth")
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    for path in ("a.pth", "a.safetensors"):
        loaded = load_state_dict(tmp_path / path)
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_pickled_objects_are_refused(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    torch.save({"weight": Explosive(mark)}, path)
    mark.unlink(missing_ok=True)
    with pytest.raises(TorchError, match="holds more than tensors"):
        load_state_dict(path)
    path.write_bytes(pickle.dumps(Explosive(mark)))
    with pytest.raises(TorchError, match="holds more than tensors"):
        load_state_dict(path)
    assert not mark.exists()


def test_files_that_are_no_state_dicts(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("list.pt", "text.safetensors", "empty.pt", "missing.pt"):
        with pytest.raises(TorchError):
            load_state_dict(tmp_path / name)


def test_weights_go_into_a_graph(state, tmp_path):
    torch.save(state, tmp_path / "a.pt")
    graph, other = mobile_net(), mobile_net(seed=5)
    inputs = images(graph)
    for source in (state, tmp_path / "a.pt"):
        assert_agrees(evaluate(load_weights(graph, source), inputs), evaluate(other, inputs))


def test_every_tensor_that_does_not_fit_is_listed(state):
    state["head.bias"] = torch.zeros(6)
    state["extra"] = state.pop("stem.0.weight")
    with pytest.raises(TorchError) as caught:
        load_weights(mobile_net(), state)
    message = str(caught.value)
    assert "stem.0.weight is missing" in message
    assert "the graph has no extra" in message
    assert "head.bias is [6]; the graph has [5]" in message
