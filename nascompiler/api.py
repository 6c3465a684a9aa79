"""The verbs, for Python: each does what the command of the same name does."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascompiler.architecture import expanded, specialize
from nascompiler.ir import Array, Graph, ModelError
from nascompiler.ir import files as graph_files
from nascompiler.ir.errors import UsageError, unknown
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import Instrument
from nascompiler.source import remember_source
from nascompiler.summary import Summary, summarize

if TYPE_CHECKING:
    from nascompiler.backends.artifact import Artifact
    from nascompiler.backends.verify_artifact import Verification
    from nascompiler.bench import BenchResult

Shapes = Mapping[str, Sequence[int]]
"""Input name -> shape, for inputs whose sizes the model leaves open."""


def load(
    model: str | Path,
    *,
    shapes: Shapes | None = None,
    width: float | None = None,
    resolution: int | str | None = None,
    head: str | None = None,
) -> Graph:
    """A graph from a file (.onnx, .pt2 of torch.export, .nir of ours), or the name of an architecture or search space.

    Architectures stay at the arch level; `width`, `resolution` and `head` change them, see `architecture.specialize`.
    Raises ModelError when the file cannot be read or the model is not supported, listing every reason; UsageError for
    an unknown name, and for shapes and options that do not fit.
    """
    path = Path(model)
    if path.suffix == ".pt2":
        graph = _from_torch(path)
        graph = optimize(graph, fix_shapes_text(shapes)) if shapes else graph
    elif path.suffix != graph_files.SUFFIX and (path.suffix == ".onnx" or path.is_file()):
        from nascompiler.onnx import import_onnx

        graph = import_onnx(path, shapes=shapes)
        remember_source(graph, path)
    else:
        graph = graph_files.load(path) if path.suffix == graph_files.SUFFIX else _named(str(model))
        graph = optimize(graph, fix_shapes_text(shapes)) if shapes else graph
    return specialize(graph, width=width, resolution=resolution, head=head)


def _from_torch(path: Path) -> Graph:
    try:
        from nascompiler.torch_bridge import import_torch, load_program
    except ModuleNotFoundError as error:
        raise UsageError(f"{path}: importing .pt2 files needs torch: pip install 'nascompiler[torch]'") from error
    return import_torch(load_program(path), name=path.stem)


def _named(name: str) -> Graph:
    """An architecture of the zoo or a search space, both at the arch level."""
    from nascompiler import spaces, zoo

    if name in zoo.names():
        return zoo.load(name)
    if name in spaces.names():
        return spaces.load_graph(name)
    if Path(name).suffix or Path(name).name != name:
        raise ModelError(f"no such model: {name} is neither an .onnx file nor a graph file ({graph_files.SUFFIX})")
    raise unknown("model", name, [*zoo.names(), *spaces.names(), "FILE.onnx", f"FILE{graph_files.SUFFIX}"])


def fix_shapes_text(shapes: Shapes) -> str:
    """The pipeline that gives inputs these shapes."""
    spelled = ",".join(f"{name}={'x'.join(map(str, shape))}" for name, shape in shapes.items())
    return f'fix-shapes{{shapes="{spelled}"}}'


def save(graph: Graph, path: str | Path) -> None:
    """Write a graph as text (.nir), with its weights beside it."""
    if Path(path).suffix != graph_files.SUFFIX:
        raise UsageError(f"a graph file ends in {graph_files.SUFFIX}: {path}")
    graph_files.save(graph, path)


def export(graph: Graph, path: str | Path, *, format: str = "qdq") -> None:
    """Write a graph as an ONNX model, an architecture expanded with random weights.

    `format` says how quantised ops are written: "qdq" as float operators between DequantizeLinear and QuantizeLinear,
    "qoperator" as operators on integers. Raises ModelError listing every node that ONNX cannot express; UsageError for
    another format.
    """
    from nascompiler.onnx import save_onnx

    save_onnx(expanded(graph), path, format=format)


def inspect(graph: Graph) -> Summary:
    """Parameters, multiply-adds, level, inputs and outputs of a graph; of an architecture, those of its network."""
    return summarize(graph)


def optimize(graph: Graph, passes: str, *, instruments: Sequence[Instrument] = ()) -> Graph:
    """Run a pipeline of passes, verifying the graph after each; the graph given stays as it is."""
    return run_pipeline(graph, passes, instruments=instruments)


def compile(
    model: Graph | str | Path,
    target: str = "cpu",
    output: str | Path | None = None,
    *,
    passes: str | None = None,
    shapes: Shapes | None = None,
    overwrite: bool = False,
    verify: bool = False,
    threads: int | None = None,
) -> Artifact:
    """Compile a model for a target; returns the artifact, ready to run. An architecture is expanded first.

    `output` is the folder to write (default: a temporary one, gone with the process); `passes` replaces the default
    pipeline before the target's own. With `verify`, raises GateError when the artifact does not compute what the
    reference evaluator does.
    """
    from nascompiler.backends.compile import compile_graph

    graph = model if isinstance(model, Graph) else load(model, shapes=shapes)
    scratch = tempfile.TemporaryDirectory(prefix="nascompiler-") if output is None else None
    folder = Path(scratch.name) / "artifact" if scratch is not None else Path(str(output))
    compile_graph(expanded(graph, passes=passes), target, folder, pipeline=passes, overwrite=overwrite)
    artifact = load_artifact(folder, threads=threads)
    if scratch is not None:
        weakref.finalize(artifact, scratch.cleanup)
    if verify:
        _verify(artifact).check()
    return artifact


def load_artifact(folder: str | Path, *, threads: int | None = None) -> Artifact:
    """A compiled artifact from its folder, checked against its manifest and this machine."""
    from nascompiler.backends.artifact import load_artifact as load_from

    return load_from(folder, threads=threads)


def verify(
    artifact: Artifact | str | Path, *, images: int = 8, seed: int = 0, inputs: Sequence[dict[str, Array]] | None = None
) -> Verification:
    """Compare an artifact with the reference evaluator and, where it came from ONNX, with ONNX Runtime.

    `inputs` are dictionaries of arrays by input name, at least eight; default: synthetic `images`.
    """
    from nascompiler import verification

    loaded = load_artifact(artifact) if isinstance(artifact, (str, Path)) else artifact
    return verification.verify(loaded, images=images, seed=seed, inputs=inputs)


_verify = verify  # where an argument of that name hides it


def bench(
    artifact: Artifact | str | Path, *, threads: int = 1, against: Sequence[str] = (), **options: Any
) -> BenchResult:
    """Measure an artifact, side by side with other runtimes if named; see `nascompiler.bench.bench_artifact`."""
    from nascompiler.bench import bench_artifact

    folder = artifact if isinstance(artifact, (str, Path)) else artifact.folder
    return bench_artifact(folder, threads=threads, against=against, **options)
