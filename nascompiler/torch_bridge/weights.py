"""State dicts: read from files without unpickling anything but tensors, and put into graphs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from nascompiler.ir.graph import Graph
from nascompiler.torch_bridge.errors import TorchError
from nascompiler.torch_bridge.module import from_module, to_module


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a checkpoint of `torch.save`, by name.

    A checkpoint is loaded with `weights_only=True`: one that needs other Python objects is refused. A dictionary that
    holds the state dict under `state_dict` or `model` is unwrapped. Raises TorchError.
    """
    try:
        found: Any
        if Path(path).suffix == ".safetensors":
            found = safetensors.torch.load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TorchError(f"{path} is refused: it holds more than tensors, and loading that could run code") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise TorchError(f"{path} is no state dict: {error}") from error
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise TorchError(f"{path} is no state dict: it holds {type(found).__name__} that are not tensors by name")
    return {str(name): tensor for name, tensor in found.items()}


def load_weights(graph: Graph, state: str | Path | Mapping[str, Tensor]) -> Graph:
    """A copy of the graph with the tensors of a state dict (or of its file), which has the names of `to_module`.

    Raises TorchError listing every tensor that is missing, unknown, or of another shape.
    """
    tensors = load_state_dict(state) if isinstance(state, (str, Path)) else dict(state)
    module = to_module(graph)
    own = module.state_dict()
    counters = {name for name in (*own, *tensors) if name.endswith("num_batches_tracked")}
    wrong = [f"{name} is missing" for name in own if name not in tensors and name not in counters]
    for name, tensor in tensors.items():
        if name not in own:
            wrong += [] if name in counters else [f"the graph has no {name}"]
        elif tensor.shape != own[name].shape:
            wrong.append(f"{name} is {list(tensor.shape)}; the graph has {list(own[name].shape)}")
    if wrong:
        raise TorchError("\n".join([f"the state dict does not fit {graph.name!r}:", *(f"  {w}" for w in wrong)]))
    module.load_state_dict({name: tensors.get(name, tensor) for name, tensor in own.items()})
    return from_module(graph, module)
