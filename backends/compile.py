"""From a graph to an artifact: the default pipeline, the lowering, and the folder they end in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nascompiler.backends.artifact import AFTER, BEFORE, LIBRARY, PLACEMENT, WEIGHTS, new_folder, write_weights
from nascompiler.backends.cpu.assign_kernels import AssignKernels
from nascompiler.backends.cpu.choice import Choices, Chooser, choose, choose_recorded, settle
from nascompiler.backends.cpu.placement import Placement, placement_table
from nascompiler.backends.manifest import NAME, CallSpec, Manifest, TensorSpec, WeightSpec, file_hash
from nascompiler.backends.target import Target, parse_target
from nascompiler.backends.tpu.artifact import RegionBuild, figures_of, tpu_placement
from nascompiler.backends.tpu.placement import require_full_offload
from nascompiler.backends.tpu.region import Region, extract, host_graph
from nascompiler.backends.tpu.target import TpuTarget
from nascompiler.backends.tvm_versions import ACCEPTED
from nascompiler.ir.cost import node_cost
from nascompiler.ir.errors import UsageError
from nascompiler.ir.files import save, write_text
from nascompiler.ir.graph import Graph
from nascompiler.ir.labels import node_labels
from nascompiler.ir.text import print_graph
from nascompiler.passes.infrastructure.instruments import Instrument
from nascompiler.passes.infrastructure.manager import run_pipeline
from nascompiler.passes.infrastructure.pipeline import Pipeline, Step
from nascompiler.passes.pipelines import NETWORK


@dataclass(frozen=True)
class Compiled:
    """What compiling has made. `compile_ns` is the CPU time of generating code for kernels, `link_ns` of linking."""

    folder: Path
    graph: Graph
    placement: tuple[Placement, ...]
    kernels: int
    kernels_compiled: int
    compile_ns: int
    link_ns: int


def default_pipeline(target: Target | str) -> str:
    """The pipeline that `compile_graph` runs for a target unless given another."""
    return with_kernels(None, target)


def with_kernels(pipeline: str | None, target: Target | str) -> str:
    """The pipeline (default: that of networks) in normal form; kernels are assigned at its end unless it does so."""
    text = ",".join(NETWORK) if pipeline is None else pipeline
    parsed = Pipeline.parse(text) if text.strip() else Pipeline(())
    if any(isinstance(step, AssignKernels) for step in parsed.passes()):
        return str(parsed)
    return str(Pipeline((*parsed.steps, Step(AssignKernels(str(target))))))


def compile_graph(
    graph: Graph,
    target: Target | str,
    folder: str | Path,
    *,
    pipeline: str | None = None,
    overwrite: bool = False,
    instruments: Sequence[Instrument] = (),
    choose: Chooser = choose,
    full_offload: bool = False,
) -> Compiled:
    """Compile a graph for a target and write the artifact to `folder`.

    `pipeline` replaces the default one; kernels are assigned at its end where it does not do so itself; `choose` says
    by which variant each call is computed. With `full_offload`, raises GateError listing what a TPU leaves to the
    host. The folder appears whole or not at all.

    Raises UsageError when the folder exists (see `new_folder`) and for a broken pipeline, ModelError for a graph that
    cannot be lowered, every reason listed, DeviceError when TVM cannot be used.
    """
    chosen = parse_target(target)
    if full_offload and not isinstance(chosen, TpuTarget):
        raise UsageError(f"a full offload is asked for, and {chosen} has nothing to offload to; accepted: tpu:...")
    text = with_kernels(pipeline, target)
    with new_folder(Path(folder), overwrite=overwrite) as place:
        assigned = run_pipeline(graph, text, instruments=instruments)
        if isinstance(chosen, TpuTarget):
            if full_offload:
                require_full_offload(assigned, str(chosen))
            regions = extract(assigned, str(chosen))
            host = run_pipeline(host_graph(assigned, regions), str(Pipeline((Step(AssignKernels("cpu")),))))
            settled, choices = settle(host, chosen.host_target, choose)
            return _write(graph, settled, chosen, choices, text, place, Path(folder), shown=assigned, regions=regions)
        settled, choices = settle(assigned, chosen, choose)
        return _write(graph, settled, chosen, choices, text, place, Path(folder))


def compile_locked(
    graph: Graph,
    target: Target | str,
    folder: str | Path,
    locked: Path,
    *,
    pipeline: str | None = None,
    overwrite: bool = False,
) -> Compiled:
    """Compile a graph as `locked`, an artifact's folder or manifest, was: by its pipeline and the variants it records.

    Raises UsageError for another target, and for every call whose variant is not recorded or no longer there; else as
    `compile_graph` and `Manifest.read` do.
    """
    manifest = Manifest.read(locked.parent if locked.name == NAME else locked)
    chosen = parse_target(target)
    if chosen.fingerprint != manifest.fingerprint:
        raise UsageError(f"{locked} was compiled for {manifest.target} on another kind of processor than {chosen}")
    return compile_graph(
        graph,
        chosen,
        folder,
        pipeline=manifest.pipeline if pipeline is None else pipeline,
        overwrite=overwrite,
        choose=lambda calls, target: choose_recorded(calls, target, manifest.variants, manifest.schedules),
    )


def _write(
    before: Graph,
    after: Graph,
    target: Target,
    choices: Choices,
    pipeline: str,
    place: Path,
    folder: Path,
    *,
    shown: Graph | None = None,
    regions: Sequence[Region] = (),
) -> Compiled:
    """Write the artifact of a settled graph. Of a TPU, `shown` has the places of all nodes, `after` is the host's part
    with the `regions` as single nodes."""
    from nascompiler.backends.tvm_adapter.build import build_library
    from nascompiler.backends.tvm_adapter.lower import lower
    from nascompiler.backends.tvm_adapter.regions import RegionCode

    builds: list[RegionBuild] = []
    if isinstance(target, TpuTarget):
        assert shown is not None
        builds = [RegionBuild(region, target.machine) for region in regions]
        code = {build.region.symbol: RegionCode(build.region.graph, build.compile) for build in builds}
        lowered = lower(after, target.host_target, choices, regions=code)
        report = build_library(lowered, target.host_target, place / LIBRARY)
        placement = tpu_placement(shown, after, target, choices, regions)
    else:
        lowered = lower(after, target, choices)
        report = build_library(lowered, target, place / LIBRARY)
        placement = placement_table(after, target, choices)
    for build in builds:
        build.write(place)
    offsets, _ = lowered.weights.offsets
    write_weights(lowered.weights.arrays, offsets, place / WEIGHTS)
    save(before, place / BEFORE)
    write_text(place / AFTER, print_graph(after if shown is None else shown))
    write_text(place / PLACEMENT, json.dumps([asdict(row) for row in placement], indent=1) + "\n")

    labels = node_labels(after)
    costs = {label: node_cost(node) for node, label in labels.items()}
    weights = {label: sum(v.type.bytes for v in node.operands if v.is_constant) for node, label in labels.items()}
    calls = [
        CallSpec(
            call.symbol,
            call.nodes,
            call.ops,
            sum(costs[n].macs or 0 for n in call.nodes if n in costs),
            sum(costs[n].bytes or 0 for n in call.nodes if n in costs),
            sum(weights[n] for n in call.nodes if n in weights),
            call.variant,
        )
        for call in lowered.calls
    ]
    figures = {region.symbol: figures_of(region) for region in regions}
    calls = [replace(call, **vars(figures[call.symbol])) if call.symbol in figures else call for call in calls]
    manifest = Manifest(
        name=after.name,
        target=str(target),
        fingerprint=target.fingerprint,
        architecture=target.isa.architecture,
        features=tuple(sorted(target.isa.features)),
        threads=target.threads,
        pipeline=pipeline,
        versions={"nascompiler": _own_version(), **ACCEPTED},
        inputs=tuple(TensorSpec.of(v.name, v.type) for v in after.inputs),
        outputs=tuple(TensorSpec.of(n, v.type) for n, v in zip(after.output_names, after.outputs, strict=True)),
        weights=tuple(
            WeightSpec(offset, TensorSpec.of("", t).shape, TensorSpec.of("", t).dtype, i in report.weights)
            for i, (offset, t) in enumerate(zip(offsets, lowered.weights.types, strict=True))
        ),
        calls=tuple(calls),
        variants={text: choice.variant for text, choice in choices.items()},
        schedules={text: choice.schedule for text, choice in choices.items() if choice.schedule},
        files={path.name: file_hash(path.read_bytes()) for path in sorted(place.iterdir())},
        regions=tuple(region.symbol for region in regions),
    )
    write_text(place / NAME, manifest.to_json())
    return Compiled(
        folder=folder,
        graph=after,
        placement=tuple(placement),
        kernels=report.kernels,
        kernels_compiled=report.compiled,
        compile_ns=report.compile_ns,
        link_ns=report.link_ns,
    )


def _own_version() -> str:
    try:
        return version("nascompiler")
    except PackageNotFoundError:
        return "unknown"
