"""`nascompiler run`: run an artifact on arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from nascompiler.cli.common import say
from nascompiler.ir import Array
from nascompiler.ir.errors import UsageError, choices_text, unknown
from nascompiler.ir.files import replacing


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An artifact.")],
    inputs: Annotated[
        list[str], typer.Option("--input", metavar="[NAME=]FILE.npy", help="Array for an input; repeat.")
    ],
    outputs: Annotated[
        list[str], typer.Option("--output", metavar="[NAME=]FILE.npy", help="Where an output goes; repeat.")
    ],
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help="Threads to run with.")] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="DEVICE", help="For ARM: emulated, HOST:PORT[/KEY], tracker:HOST:PORT/KEY."),
    ] = None,
) -> None:
    """Run an artifact; arrays keep the names and layouts of the source model (ONNX: NCHW)."""
    from nascompiler import api
    from nascompiler.backends.manifest import Manifest

    manifest = Manifest.read(folder)
    input_files = _by_name("--input", inputs, [t.name for t in manifest.inputs])
    output_files = _by_name("--output", outputs, [t.name for t in manifest.outputs])
    arrays = {name: _read(path) for name, path in input_files.items()}
    results = api.load_artifact(folder, threads=threads, device=device).run(arrays)
    for name, path in output_files.items():
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, results[name], allow_pickle=False)
        say(f"{name}: {results[name].dtype}{list(results[name].shape)} -> {path}")


def _by_name(option: str, given: list[str], names: list[str]) -> dict[str, Path]:
    """Files by the name of the tensor; a file without a name belongs to the only tensor there is."""
    files: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        while equals and name not in names and "=" in path:  # a name may contain the sign itself
            more, _, path = path.partition("=")
            name = f"{name}={more}"
        if not equals:
            if len(names) > 1:
                raise UsageError(f"{option} {text}: there are several; write NAME=FILE with NAME {choices_text(names)}")
            name, path = names[0], text
        if name not in names:
            if Path(text).exists() and len(names) == 1:
                name, path = names[0], text
            else:
                raise unknown(option.lstrip("-"), name, names)
        if name in files:
            raise UsageError(f"{option} gives {name} twice")
        files[name] = Path(path)
    return files


def _read(path: Path) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UsageError(f"cannot read {path}: no such file") from None
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(f"cannot read {path}: not an array file of NumPy (.npy) ({error})") from None
    if not isinstance(array, np.ndarray):
        raise UsageError(f"cannot read {path}: an archive; give one array per file (.npy)")
    return array
