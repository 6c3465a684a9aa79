"""The verbs, for Python: each does what the command of the same name does."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
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
    from nascompiler.backends.predict import Prediction
    from nascompiler.backends.tune import Progress as TuningProgress
    from nascompiler.backends.tune import TuningResult
    from nascompiler.backends.tune_schedules import ScheduleProgress
    from nascompiler.backends.verify_artifact import Verification
    from nascompiler.bench import BenchResult
    from nascompiler.codesign.result import CodesignResult
    from nascompiler.data.dataset import Dataset
    from nascompiler.netadapt.loop import Progress as AdaptProgress
    from nascompiler.netadapt.result import AdaptResult
    from nascompiler.quantization.result import QuantizationResult
    from nascompiler.quantization.score import Progress
    from nascompiler.search.progress import Progress as SearchProgress
    from nascompiler.search.result import SearchResult
    from nascompiler.training.recipe import Recipe
    from nascompiler.training.trainer import Epoch
    from nascompiler.transfer.deployment import Transferred
    from nascompiler.transfer.training import Options as TrainingOptions
    from nascompiler.transfer.training import TrainedNetwork

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


def quantize(
    model: Graph | str | Path,
    *,
    calibration: object = None,
    labels: object = None,
    method: str = "mse",
    max_drop: float | None = None,
    shapes: Shapes | None = None,
    target: str = "cpu",
    seed: int = 0,
    samples: int | None = None,
    evaluate: int | None = None,
    sensitivity: int = 0,
    measure: bool = False,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    channel_order: str = "RGB",
    progress: Progress | None = None,
    **settings: Any,
) -> QuantizationResult:
    """Quantise a float network after training: `result.graph` computes with integers, `result.report` tells all.

    `calibration` is a path (folder of images, .npz, .npy), arrays, an iterable or function, a data set (its training
    images calibrate, its held-out ones are for accuracy), or None: images are generated from `seed`, and the report
    says so; see `quantization.data.calibration_data`, also for `mean`, `deviation` and `channel_order`. `samples`
    limits how many calibrate (default 256), `evaluate` how many are for accuracy (default: all with labels, else 256).

    With `labels` (a path, an array, or "known" for those that come with the data) accuracy is compared, without them
    agreement with the float network's predictions, or signal-to-noise where the outputs are no class scores. With
    `max_drop`, in points, layers that hurt get 16-bit activations or stay in float until no more is lost; when that
    fails, the result is the best that was found, and `result.check()` raises GateError. `sensitivity` is the number
    of samples to find the sensitive layers with, at 0 only if a gate is missed. With `measure`, float and int8 are
    compiled for the target and timed. `settings` are fields of `passes.quantization.quantizer.Settings`, such as
    keep_float, wide, per_channel, tables, equalize, correct_bias, adaptive_rounding.

    Raises UsageError for unknown names and options and for data that cannot be read, ModelError for data that do not
    fit the network.
    """
    from nascompiler.quantization.quantize import Request, settings_of
    from nascompiler.quantization.quantize import quantize as quantize_network

    graph = model if isinstance(model, Graph) else load(model, shapes=shapes)
    request = Request(
        calibration,
        labels,
        max_drop,
        settings_of(method=method, **settings),
        samples,
        evaluate,
        sensitivity,
        target,
        seed,
        measure,
        mean,
        deviation,
        channel_order,
    )
    return quantize_network(graph, request, progress=progress)


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
    locked: str | Path | None = None,
    full_offload: bool = False,
) -> Artifact:
    """Compile a model for a target; returns the artifact, ready to run. An architecture is expanded first.

    `output` is the folder to write (default: a temporary one, gone with the process); `passes` replaces the default
    pipeline before the target's own. `locked` is an artifact, or its manifest: kernels are computed by the variants
    recorded there, and its pipeline is the default; UsageError lists what cannot be reproduced. With `verify`, raises
    GateError when the artifact does not compute what the reference evaluator does; with `full_offload`, when a TPU
    leaves anything but conversions at the edge of the network to the host, listing all of it with the reasons.
    """
    from nascompiler.backends.compile import compile_graph, compile_locked

    graph = model if isinstance(model, Graph) else load(model, shapes=shapes)
    scratch = tempfile.TemporaryDirectory(prefix="nascompiler-") if output is None else None
    folder = Path(scratch.name) / "artifact" if scratch is not None else Path(str(output))
    network = expanded(graph, passes=passes)
    if locked is None:
        compile_graph(network, target, folder, pipeline=passes, overwrite=overwrite, full_offload=full_offload)
    else:
        compile_locked(network, target, folder, Path(locked), pipeline=passes, overwrite=overwrite)
    artifact = load_artifact(folder, threads=threads)
    if scratch is not None:
        weakref.finalize(artifact, scratch.cleanup)
    if verify:
        _verify(artifact).check()
    return artifact


def load_artifact(folder: str | Path, *, threads: int | None = None, device: str | None = None) -> Artifact:
    """A compiled artifact from its folder, checked against its manifest and this machine.

    One for ARM runs on a `device`: `emulated`, `HOST:PORT[/KEY]` or `tracker:HOST:PORT/KEY`, by default its target's.
    """
    from nascompiler.backends.artifact import load_artifact as load_from

    return load_from(folder, threads=threads, device=device)


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


def tune(
    model: Graph | str | Path,
    target: str = "cpu",
    *,
    budget_s: float = 300.0,
    passes: str | None = None,
    shapes: Shapes | None = None,
    again: bool = False,
    check: bool = True,
    metaschedule: bool = False,
    store: str | Path | None = None,
    report: Callable[[TuningProgress | ScheduleProgress], None] = lambda progress: None,
) -> TuningResult:
    """Measure which variant of each kernel call of a model is the fastest here; compiling takes it from then on.

    No call is begun after `budget_s` seconds; what was measured is kept at once, and not measured again unless `again`.
    With `metaschedule`, what is left of the budget goes to TVM's search for schedules of calls in floating point.
    `passes` replaces the default pipeline. `report` is told of every call. With `check`, the network as it would be
    compiled untuned and tuned are measured in turns. `store` is a file to write to and read instead of the user's.
    Raises TuningError when nothing could be measured.
    """
    from nascompiler.tuning import tune_network

    graph = model if isinstance(model, Graph) else load(model, shapes=shapes)
    return tune_network(
        expanded(graph, passes=passes),
        target,
        budget_s=budget_s,
        pipeline=passes,
        again=again,
        check=check,
        metaschedule=metaschedule,
        store=None if store is None else Path(store),
        report=report,
    )


def search(
    space: str,
    data: str,
    study: str | Path,
    *,
    targets: Sequence[str] = ("cpu",),
    latency: str | Sequence[str] = (),
    resume: bool = False,
    ray: str | None = None,
    listener: Callable[[SearchProgress], None] = lambda progress: None,
    **settings: Any,
) -> SearchResult:
    """Search a space for accurate and fast networks; the winner and the front are written beside the study.

    `latency` is what to aim for, `"25ms"` or `"cpu=25ms"`; without it the reward is the accuracy. `settings` are
    fields of `search.settings.SearchSettings`: objective, constraints, trials, controller, preset, seed, proxy,
    measure, parallel, top and others. `listener` is told after every trial. `result.check()` raises GateError when the
    winner misses the latency. With `resume` the study is gone on with, and must have been begun with the same settings.
    """
    from contextlib import closing

    from nascompiler.search.latency import measure_top
    from nascompiler.search.prepare import executor_of, latencies_of, prepare
    from nascompiler.search.run import run_search
    from nascompiler.search.settings import SearchSettings

    aims = latencies_of([latency] if isinstance(latency, str) else latency, targets)
    settings.setdefault("objective", "soft" if aims else "accuracy")
    asked = SearchSettings(space, data, tuple(targets), aims, **settings)
    fitted, recipe = prepare(asked)
    with closing(executor_of(asked, recipe, ray)) as executor:
        return run_search(asked, study, fitted, executor, resume=resume, measure_top=measure_top, listener=listener)


def netadapt(
    model: Graph | str | Path,
    data: Dataset | str,
    output: str | Path,
    latency: str | Sequence[str] = (),
    *,
    targets: Sequence[str] = ("cpu",),
    budgets: Sequence[str] = (),
    recipe: Recipe | str | None = "default",
    resume: bool = False,
    ray: str | None = None,
    listener: Callable[[AdaptProgress], None] = lambda progress: None,
    **settings: Any,
) -> AdaptResult:
    """Shrink a network's channels until it meets its budgets, then train it longer; all is written into `output`.

    `latency` is what it may take, `"18ms"`, `"0.6x"` of what it takes now, or `"cpu=18ms"`; `budgets` are sizes:
    `"params<=1M"`, `"macs<=0.5x"`. `recipe` is that of the long training, None for none; an architecture is trained by
    it first. `settings` are fields of `netadapt.settings.AdaptSettings`: step, decay, proposals, rule, criterion,
    steps, fine_tune, seed, parallel and others. `result.check()` raises GateError when a budget is missed. With
    `resume` the folder is gone on with, and must have been begun with the same settings.
    """
    from contextlib import closing

    from nascompiler.netadapt.budgets import parse_budgets
    from nascompiler.netadapt.run import adapt, executor_of
    from nascompiler.netadapt.settings import AdaptSettings
    from nascompiler.netadapt.tuning import images
    from nascompiler.training.presets import recipe_for

    found = images(data, settings.get("resolution")) if isinstance(data, str) else data
    chosen = recipe_for(recipe, found) if isinstance(recipe, str) else recipe
    asked = AdaptSettings(
        model.name if isinstance(model, Graph) else str(model),
        data if isinstance(data, str) else "",
        tuple(targets),
        parse_budgets([latency] if isinstance(latency, str) else latency, budgets, targets),
        train=None if chosen is None else chosen.to_json(),
        **settings,
    )
    with closing(executor_of(asked, output, found, ray)) as executor:
        return adapt(
            asked,
            lambda: model if isinstance(model, Graph) else load(model),
            found,
            output,
            executor,
            resume=resume,
            listener=listener,
        )


def codesign(
    space: str,
    data: str,
    output: str | Path,
    latency: str,
    *,
    target: str = "cpu",
    recipe: Recipe | str = "default",
    first: Recipe | str | None = None,
    resume: bool = False,
    on_stage: Callable[[str], None] = lambda name: None,
    search: Mapping[str, Any] | None = None,
    adapt: Mapping[str, Any] | None = None,
    **settings: Any,
) -> CodesignResult:
    """Search a space, train the winner, shrink it to the latency, train it for good, quantise, compile and measure.

    `recipe` is that of the long training, `first` that of the winner before it shrinks (default: the same). `search`
    and `adapt` are further settings of the search and of NetAdapt, as `trials` and `steps`; `settings` are slack,
    max_drop, resolution, seed and parallel. `result.check()` raises GateError when the artifact misses the latency.
    With `resume` the folder is gone on with, and must have been begun with the same settings.
    """
    from nascompiler.codesign.run import codesign as run_codesign
    from nascompiler.codesign.settings import CodesignSettings
    from nascompiler.codesign.stages import Context
    from nascompiler.netadapt.tuning import images
    from nascompiler.search.units import parse_duration_ns
    from nascompiler.training.presets import recipe_for

    found = images(data, settings.get("resolution"))
    long = recipe_for(recipe, found) if isinstance(recipe, str) else recipe
    before = long if first is None else recipe_for(first, found) if isinstance(first, str) else first
    asked = CodesignSettings(
        space,
        data,
        target,
        parse_duration_ns(latency),
        before.to_json(),
        long.to_json(),
        search=dict(search or {}),
        adapt=dict(adapt or {}),
        **settings,
    )
    return run_codesign(Context(asked, Path(output), found), resume=resume, on_stage=on_stage)


def train(
    model: Graph | str | Path,
    data: Dataset | str,
    recipe: Recipe | str = "default",
    *,
    keep_paths: float = 1.0,
    auxiliary_head: bool = False,
    weights: Graph | str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainedNetwork:
    """Train an architecture, fitted to the images and classes of a data set, or a network as it is.

    `recipe` is one or a name (`training.presets`). `keep_paths` is the chance with which the last cell keeps a path
    (ScheduledDropPath); with `auxiliary_head` a second classifier is trained along and taken away in the end; `weights`
    is a trained network to begin with, as far as it has the same layers. `progress` is told of every epoch. The same
    arguments give the same weights, bit for bit, on machines of the same kind.
    """
    from nascompiler.transfer.training import train_longer

    graph, data, recipe, options = _training(model, data, recipe, keep_paths, auxiliary_head, weights, device)
    return train_longer(graph, data, recipe, options, seed=seed, progress=progress)


def transfer(
    model: Graph | str | Path,
    data: Dataset | str,
    output: str | Path,
    recipe: Recipe | str = "default",
    *,
    skeleton: str = "",
    cells: int = 0,
    filters: int = 0,
    width: float = 1.0,
    keep_paths: float = 1.0,
    auxiliary_head: bool = False,
    device: str = "auto",
    target: str = "cpu",
    max_drop: float | None = None,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
) -> Transferred:
    """Stack the cells of an architecture for a data set, train, quantise, compile, verify and measure the network.

    `skeleton` (cifar, mobile or large; default: its own), `cells` in each stack and `filters` in the first say how;
    what has no cells takes a `width` multiplier. Everything is written into the folder `output`. The rest is as for
    `train`, `quantize` and `compile`.
    """
    from nascompiler.transfer.deployment import transfer as transfer_architecture
    from nascompiler.transfer.stacking import Stacking

    graph, data, recipe, options = _training(model, data, recipe, keep_paths, auxiliary_head, None, device)
    return transfer_architecture(
        graph,
        data,
        recipe,
        output,
        stacking=Stacking(skeleton, cells, filters, width),
        options=options,
        target=target,
        max_drop=max_drop,
        seed=seed,
        on_epoch=progress,
    )


def _training(
    model: Graph | str | Path,
    data: Dataset | str,
    recipe: Recipe | str,
    keep_paths: float,
    auxiliary_head: bool,
    weights: Graph | str | Path | None,
    device: str,
) -> tuple[Graph, Dataset, Recipe, TrainingOptions]:
    """What `train` and `transfer` are given, read and looked up."""
    from nascompiler.data.load import load_dataset
    from nascompiler.training.devices import training_device
    from nascompiler.training.presets import recipe_for
    from nascompiler.transfer.training import Options

    graph = model if isinstance(model, Graph) else load(model)
    images = load_dataset(data) if isinstance(data, str) else data
    chosen = recipe_for(recipe, images) if isinstance(recipe, str) else recipe
    parent = weights if weights is None or isinstance(weights, Graph) else load(weights)
    return graph, images, chosen, Options(keep_paths, auxiliary_head, parent, training_device(device))


def predict(model: Graph | str | Path, target: str = "cpu", *, shapes: Shapes | None = None) -> Prediction:
    """The latency of a model as the sum of what tuning has measured of its kernel calls; lists what is not known."""
    from nascompiler.backends.predict import predict as predict_graph

    graph = model if isinstance(model, Graph) else load(model, shapes=shapes)
    return predict_graph(expanded(graph), target)
