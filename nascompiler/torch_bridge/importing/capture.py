"""From a module or program to one in which every operator is functional and, if possible, one that we convert."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from nascompiler.ir.errors import UsageError
from nascompiler.torch_bridge.errors import TorchError
from nascompiler.torch_bridge.importing.converters.registry import converted_name
from nascompiler.torch_bridge.importing.converters.table import CONVERTERS
from nascompiler.torch_bridge.importing.effects import has_effects

_ROUNDS = 6
"""How often decompositions are looked for in what earlier ones left."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that torch's exporter raises about torch's own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*_flat_weights.*")
        yield


def capture(
    module: nn.Module, example: Sequence[Any] | Mapping[str, Any], dynamic_shapes: Any = None
) -> ExportedProgram:
    """`torch.export` of a module in eval mode; each part's own mode is restored afterwards.

    `example` are its positional or its named inputs. Raises TorchError with torch's reason when it cannot be traced.
    """
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with quiet():
            if isinstance(example, Mapping):
                return torch.export.export(module, (), dict(example), dynamic_shapes=dynamic_shapes)
            return torch.export.export(module, tuple(example), dynamic_shapes=dynamic_shapes)
    except Exception as error:
        raise TorchError(f"torch.export cannot trace {type(module).__name__}: {error}") from error
    finally:
        for part, mode in modes.items():
            part.training = mode


def as_program(source: ExportedProgram | nn.Module, example: Any, dynamic_shapes: Any) -> ExportedProgram:
    """The program of whatever `import_torch` is given."""
    if isinstance(source, ExportedProgram):
        return source
    if not isinstance(source, nn.Module):
        raise UsageError(f"{type(source).__name__} is no torch.nn.Module and no ExportedProgram")
    if example is None:
        raise UsageError("a module is traced with example inputs: give a tuple of tensors, or a dictionary by name")
    return capture(source, (example,) if isinstance(example, torch.Tensor) else example, dynamic_shapes)


def functional(program: ExportedProgram) -> ExportedProgram:
    """The program without effects in place; operators that we do not convert are decomposed where torch can.

    A program that needs neither stays as it is: decomposing takes long and loses dropout. Raises TorchError with
    torch's reason when it cannot be done.
    """
    try:
        with quiet():
            known = torch.export.default_decompositions()
            for _ in range(_ROUNDS):
                missing = unconverted(program)
                chosen = {target: known[target] for target in missing if target in known}
                if not chosen and not has_effects(program):
                    break
                program = program.run_decompositions(chosen)
    except Exception as error:
        raise TorchError(f"torch cannot decompose the program: {error}") from error
    return program


def unconverted(program: ExportedProgram) -> list[Any]:
    """The ATen operators in the program that have no converter."""
    targets = dict.fromkeys(node.target for node in program.graph.nodes if node.op == "call_function")
    names = {target: converted_name(target) for target in targets}
    return [target for target, name in names.items() if name is not None and name not in CONVERTERS]
