"""Files of `torch.export.save` (.pt2), read without running what a stranger may have put into them.

`torch.export.load` of torch 2.13 runs code from the file in several ways: it unpickles sample inputs that do not load
as weights, weights marked `use_pickle` and opaque constants; it loads compiled libraries under `data/aotinductor`; it
hands expressions of sizes to sympy, which evaluates them; it imports the modules of enumerations in signatures. So the
archive is read as plain zip and JSON first, everything of this kind is refused or left out, and torch gets an archive
made anew of what remains: raw tensors and a graph of calls to ATen operators.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram

from nascompiler.torch_bridge.errors import TorchError, UnsupportedOp, UnsupportedOpsError
from nascompiler.torch_bridge.importing.capture import quiet

_ROOT = "archive/"
_MODEL = "models/model.json"
_CONFIGS = {
    "data/weights/model_weights_config.json": re.compile(r"weight_\d+"),
    "data/constants/model_constants_config.json": re.compile(r"tensor_\d+"),
}
"""Lists of tensors, and what the files of raw tensors are called."""
_SAMPLES = "data/sample_inputs/model.pt"
_KEPT = re.compile(
    r"(data/weights/weight_\d+|data/constants/tensor_\d+|archive_format|archive_version|byteorder|\.data/version)"
)
_DROPPED = re.compile(r"(extra/.*|\.data/.*|version)")

_TARGET = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.(getitem|mul|add|sub|floordiv|mod|eq|ne|lt|le|gt|ge|and_)")
_EXPRESSION = re.compile(
    r"((Symbol|Integer|Add|Mul|FloorDiv|Mod|PythonMod|CleanDiv|Max|Min|Eq|Equality|Ne|Ge|Gt|Le|Lt|"
    r"GreaterThan|LessThan|StrictGreaterThan|StrictLessThan)\("
    r"|'[su]\d+'|[su]\d+|(positive|integer|nonnegative|negative|real)=(True|False)|\d{1,18}|[-+*(),\s])*"
)
"""Arithmetic of named sizes, as torch writes it; anything else could be code."""
_TREES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})


def load_program(path: str | Path) -> ExportedProgram:
    """The program in a .pt2 file.

    Raises TorchError for a file that cannot be read, is damaged, or holds anything but tensors and a graph of ATen
    operators; UnsupportedOpsError listing every call of something else.
    """
    try:
        cleaned = _cleaned(path)
    except (OSError, zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TorchError(f"{path} is no program of torch.export: {error}") from error
    from torch.export.pt2_archive._package import load_pt2  # takes seconds, and few need it

    try:
        with quiet():
            program: ExportedProgram = load_pt2(cleaned).exported_programs["model"]
    except Exception as error:
        raise TorchError(f"{path}: torch {torch.__version__} cannot load it: {error}") from error
    for node in program.graph.nodes:
        is_aten = isinstance(node.target, OpOverload) and node.target.namespace == "aten"
        if node.op == "call_function" and not is_aten and getattr(node.target, "__module__", "") != "_operator":
            raise TorchError(f"{path}: {node.target} is no operator of ATen")
    return program


def _cleaned(path: str | Path) -> io.BytesIO:
    """The archive with only raw tensors and a checked graph in it."""
    members = _members(path)
    if _MODEL not in members:
        raise TorchError(f"{path} is no program of torch.export: it has no {_MODEL}")
    for name, pattern in _CONFIGS.items():
        _check_config(path, name, members.get(name, b"{}"), pattern)
    document = json.loads(members[_MODEL])
    _clean_document(str(path), document)
    kept = {name: data for name, data in members.items() if name in _CONFIGS or _KEPT.fullmatch(name)}
    kept |= {_MODEL: json.dumps(document).encode(), _SAMPLES: _samples(path, members)}
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as archive:
        for name, data in kept.items():
            archive.writestr(_ROOT + name, data)
    result.seek(0)
    return result


def _members(path: str | Path) -> dict[str, bytes]:
    """The files that matter, by name below the archive's one folder; refuses others."""
    members: dict[str, bytes] = {}
    refused = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.partition("/")[2]
            if info.compress_type != zipfile.ZIP_STORED:
                refused.append(f"{name} is compressed, which torch does not do")
            elif name in (_MODEL, _SAMPLES, *_CONFIGS) or _KEPT.fullmatch(name):
                members[name] = archive.read(info)
            elif not _DROPPED.fullmatch(name):
                refused.append(f"{name or info.filename} is neither a tensor nor the graph")
    if refused:
        raise TorchError(f"{path} is refused: {'; '.join(refused)}")
    return members


def _samples(path: str | Path, members: dict[str, bytes]) -> bytes:
    """The example inputs, from which torch learns how many there are; tensors, numbers and containers only."""
    if _SAMPLES not in members:
        raise TorchError(f"{path} is no program of torch.export: it has no {_SAMPLES}")
    try:
        found = torch.load(io.BytesIO(members[_SAMPLES]), weights_only=True)
    except Exception as error:
        raise TorchError(f"{path} is refused: its example inputs hold more than tensors") from error
    result = io.BytesIO()
    torch.save(found, result)
    return result.getvalue()


def _check_config(path: str | Path, name: str, data: bytes, pattern: re.Pattern[str]) -> None:
    """Every tensor is stored raw, in a file of the expected name."""
    for tensor, entry in json.loads(data).get("config", {}).items():
        if entry.get("use_pickle") is not False or not pattern.fullmatch(entry.get("path_name", "")):
            raise TorchError(f"{path} is refused: {tensor!r} in {name} is stored as a pickle, which could run code")


def _clean_document(path: str, document: Any) -> None:
    """Empty what is not needed and could be evaluated, and refuse what is needed and not plain."""
    module = document["graph_module"]
    module["module_call_graph"] = [entry for entry in module["module_call_graph"] if entry.get("fqn") == ""]
    if not module["module_call_graph"] or not module["module_call_graph"][0].get("signature"):
        raise TorchError(f"{path} is no program of torch.export: it does not say what its inputs and outputs are")
    document["guards_code"] = []
    faults = []
    for item in _dictionaries(document):
        if isinstance(item.get("metadata"), dict):
            item["metadata"] = {}
        target = item.get("target")
        if target is not None and not _TARGET.fullmatch(str(target)):
            faults.append(UnsupportedOp(str(item.get("name")), str(target), "only operators of ATen are supported"))
        expression = item.get("expr_str", "")
        if not isinstance(expression, str) or not _EXPRESSION.fullmatch(expression):
            raise TorchError(f"{path} is refused: {expression!r} is no arithmetic of sizes")
        if "class_fqn" in item or item.get("custom_obj_values"):
            raise TorchError(f"{path} is refused: it holds objects other than tensors")
        for key in ("in_spec", "out_spec"):
            if key in item:
                _check_tree(path, item[key])
    if faults:
        raise UnsupportedOpsError(f"{path}: cannot import", faults)


def _check_tree(path: str, spec: str) -> None:
    """Tuples, lists and dictionaries with plain keys; other containers would be looked up by their import path."""
    _, tree = json.loads(spec)
    for item in _dictionaries(tree):
        keys = json.loads(item.get("context") or "null")
        plain = keys is None or (isinstance(keys, list) and all(isinstance(k, (str, int)) for k in keys))
        if item.get("type") not in _TREES or not plain:
            raise TorchError(
                f"{path} is refused: its inputs and outputs must be tuples, lists and dictionaries of tensors, "
                f"not {item.get('type')}"
            )


def _dictionaries(root: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary in a JSON document."""
    waiting = [root]
    while waiting:
        item = waiting.pop()
        children: Iterable[Any] = ()
        if isinstance(item, dict):
            yield item
            children = item.values()
        elif isinstance(item, list):
            children = item
        waiting.extend(child for child in children if isinstance(child, (dict, list)))
