"""torch both ways: a graph as a trainable module and back, and programs of torch.export as graphs.

Only this package and training import torch.
"""

from nascompiler.torch_bridge.archives import load_program
from nascompiler.torch_bridge.errors import TorchError, UnsupportedOp, UnsupportedOpsError
from nascompiler.torch_bridge.importing.importer import import_torch
from nascompiler.torch_bridge.module import GraphModule, from_module, to_module
from nascompiler.torch_bridge.stateful import DropPath
from nascompiler.torch_bridge.weights import load_state_dict, load_weights

__all__ = [
    "DropPath",
    "GraphModule",
    "TorchError",
    "UnsupportedOp",
    "UnsupportedOpsError",
    "from_module",
    "import_torch",
    "load_program",
    "load_state_dict",
    "load_weights",
    "to_module",
]
