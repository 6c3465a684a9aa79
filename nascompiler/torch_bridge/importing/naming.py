"""Names of a program's outputs."""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.utils import _pytree


def output_names(program: ExportedProgram, count: int) -> list[str]:
    """By the keys of dictionaries and the places in lists that the module returns; `output` where there are none."""
    spec = program.call_spec.out_spec
    if spec is None:
        return [f"output_{i}" for i in range(count)]
    paths = [path for path, _ in _pytree.tree_flatten_with_path(_pytree.tree_unflatten(list(range(count)), spec))[0]]
    names = []
    for path in paths:
        parts = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", "")))) for key in path]
        text = "_".join(parts)
        names.append(text if text and not text[0].isdigit() else f"output_{text}".rstrip("_"))
    return names if len(set(names)) == len(names) else [f"output_{i}" for i in range(count)]
