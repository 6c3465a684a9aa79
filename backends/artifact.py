"""An artifact: a folder with everything to run a compiled network, and to tell how it was made.

manifest.json      names, shapes, hashes, versions, target, pipeline
model.so           the code
weights.bin        packed weights, each at a multiple of 64 bytes, mapped into memory when loaded
before.nir         the graph as it was given, with its constants in before.safetensors
after.nir          the graph that was lowered, constants by hash
placement.json     which node runs where, by which kernel, and why
"""

from __future__ import annotations

import json
import mmap
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nascompiler.backends.elf import check_library
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import detect_host
from nascompiler.backends.manifest import NAME, Manifest, TensorSpec, file_hash
from nascompiler.backends.measure.latency import LayerTime
from nascompiler.backends.memory import ALIGNMENT
from nascompiler.backends.target import parse_target
from nascompiler.backends.tile_permission import permit_tiles
from nascompiler.ir.errors import ModelError, UsageError, choices_text
from nascompiler.ir.files import load
from nascompiler.ir.graph import Graph
from nascompiler.ir.types import Array, TensorType

if TYPE_CHECKING:
    from nascompiler.backends.devices.program import DeviceProgram
    from nascompiler.backends.tpu.running import LoadedRegion
    from nascompiler.backends.tvm_runtime.program import Program

LIBRARY, WEIGHTS, BEFORE, AFTER, PLACEMENT = "model.so", "weights.bin", "before.nir", "after.nir", "placement.json"


class Artifact:
    """A loaded artifact. Inputs and outputs have the source model's names, shapes and layouts.

    `device` names where it runs, if not in this process. `regions` are the programs of a TPU, in the order in which
    they run: simulated at every step.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        program: Program | DeviceProgram,
        regions: tuple[LoadedRegion, ...] = (),
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.regions = regions
        self._program = program
        self._symbols = frozenset(call.symbol for call in manifest.calls)

    @property
    def device(self) -> str:
        from nascompiler.backends.devices.program import DeviceProgram

        return str(self._program.address) if isinstance(self._program, DeviceProgram) else ""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self.manifest.outputs

    @property
    def threads(self) -> int:
        """Threads that runs use; raises UsageError when set to more than the process has."""
        return self._program.threads

    @threads.setter
    def threads(self, threads: int) -> None:
        self._program.set_threads(threads)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name for inputs by name; raises UsageError that lists every input that does not fit."""
        self.prepare(inputs)
        self.step()
        return self.results()

    def prepare(self, inputs: Mapping[str, Array]) -> None:
        """Copy inputs to where the program reads them; raises UsageError as `run` does."""
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
        problems = [
            f"there is no input {n!r}; inputs: {choices_text(i.name for i in self.inputs)}"
            for n in arrays
            if n not in {i.name for i in self.inputs}
        ]
        for spec in self.inputs:
            if spec.name not in arrays:
                problems.append(f"input {spec.name!r} ({spec.type}) is missing")
            elif (found := _type_text(arrays[spec.name])) != str(spec.type):
                problems.append(f"input {spec.name!r} is {found}; it must be {spec.type}")
        if problems:
            raise UsageError("; ".join(problems))
        for place, spec in zip(self._program.inputs, self.inputs, strict=True):
            np.copyto(place, arrays[spec.name])

    def step(self) -> None:
        """Compute with the inputs as prepared last; nothing is copied."""
        self._program.step()

    def results(self) -> dict[str, Array]:
        """Copies of the outputs of the last step, by name."""
        views = self._program.outputs
        return {spec.name: np.array(view) for spec, view in zip(self.outputs, views, strict=True)}

    def close(self) -> None:
        """Let go of a device, if it runs on one; the next run reaches it again."""
        from nascompiler.backends.devices.program import DeviceProgram

        if isinstance(self._program, DeviceProgram):
            self._program.close()

    def profile(self) -> tuple[list[LayerTime], int]:
        """One step under the clock: a row for each kernel call in order, and the total in ns, clock included."""
        times = self._program.timed_step(self._symbols)
        rows = [
            LayerTime(
                "+".join(call.nodes), "+".join(call.ops), ns, call.macs, call.bytes, call.weight_bytes, call.variant
            )
            for call, ns in zip(self.manifest.calls, times.calls, strict=True)
        ]
        return rows, times.total

    def time_steps(self, repeats: int, least_ms: int) -> list[float]:
        """Times of one step on a board in ns, by its clock: each the mean of as many in a row as take `least_ms`.

        Raises UsageError for a program of this process, which is timed in turns with others, and for an emulator.
        """
        from nascompiler.backends.devices.program import DeviceProgram

        if not isinstance(self._program, DeviceProgram):
            raise UsageError(f"{self.folder} runs in this process: `nascompiler bench` times it")
        return self._program.time_steps(repeats, least_ms)

    def source_graph(self) -> Graph:
        """The graph as it was compiled from; raises ModelError when its files were changed."""
        for name in (BEFORE, str(Path(BEFORE).with_suffix(".safetensors"))):
            if name in self.manifest.files:
                _checked_bytes(self.folder, name, self.manifest)
        return load(self.folder / BEFORE)

    def placement(self) -> list[dict[str, str]]:
        """The placement table: node, op, unit, kernel and reason of each node."""
        rows: list[dict[str, str]] = json.loads(_checked_bytes(self.folder, PLACEMENT, self.manifest))
        return rows


def load_artifact(folder: str | Path, *, threads: int | None = None, device: str | None = None) -> Artifact:
    """Load an artifact to run it with `threads` threads, those of its target unless given.

    One that was compiled for another machine runs on a `device`: `emulated`, `HOST:PORT[/KEY]` or
    `tracker:HOST:PORT/KEY`, by default that of its target; it is reached with the first run. Code is loaded only after
    its hash and the features of the machine have been checked: raises ModelError for an artifact that is damaged or
    none, DeviceError for code that this machine cannot run, UsageError for a device that no artifact of its kind has.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    target = manifest.target.partition("{")[0]
    if ":" in target and (device is not None or manifest.architecture != detect_host().architecture):
        return _on_device(folder, manifest, threads, device)
    if device is not None:
        raise UsageError(f"{folder} was compiled for {manifest.target}, which runs on no device but this machine")
    _check_machine(manifest)
    permit_tiles(manifest.features)
    code = _checked_bytes(folder, LIBRARY, manifest)
    weights = _map_weights(folder, manifest)

    from nascompiler.backends.tvm_runtime.program import Program

    inputs = [spec.type for spec in manifest.inputs]
    with tempfile.TemporaryDirectory(prefix="nascompiler-") as private:
        # exactly the bytes that were hashed, out of reach of whoever may change the artifact meanwhile
        library = Path(private) / LIBRARY
        library.write_bytes(code)
        program = Program(library, weights, inputs, manifest.threads if threads is None else threads)
    regions = _load_regions(folder, manifest)
    artifact = Artifact(folder, manifest, program, regions)
    if regions:
        from nascompiler.backends.tpu.running import provide_regions

        provide_regions(artifact, regions)
    return artifact


def _load_regions(folder: Path, manifest: Manifest) -> tuple[LoadedRegion, ...]:
    """The programs for the TPU that an artifact was compiled for, checked and verified."""
    if not manifest.regions:
        return ()
    from nascompiler.backends.tpu.artifact import PROGRAM, WEIGHT_MEMORY, read_program
    from nascompiler.backends.tpu.machine import parse_machine
    from nascompiler.backends.tpu.running import LoadedRegion

    machine = parse_machine(manifest.target)
    loaded = []
    for symbol in manifest.regions:
        files = {n: _checked_bytes(folder, n, manifest) for n in (f"{symbol}{PROGRAM}", f"{symbol}{WEIGHT_MEMORY}")}
        loaded.append(LoadedRegion(symbol, read_program(symbol, files), machine))
    return tuple(loaded)


def _on_device(folder: Path, manifest: Manifest, threads: int | None, device: str | None) -> Artifact:
    """An artifact for a core that is not in this machine."""
    from nascompiler.backends.devices.address import device_of, parse_address
    from nascompiler.backends.devices.program import DeviceProgram

    target = parse_target(manifest.target)
    if target.core is None:
        raise UsageError(f"{folder} was compiled for {manifest.target}, which runs on no device but this machine")
    address = device_of(str(target.options["device"])) if device is None else parse_address(device)
    private = tempfile.TemporaryDirectory(prefix="nascompiler-")
    library = Path(private.name) / LIBRARY
    library.write_bytes(_checked_bytes(folder, LIBRARY, manifest))
    check_library(library, manifest.architecture, manifest.features)
    program = DeviceProgram(
        library,
        _map_weights(folder, manifest),
        [spec.type for spec in manifest.inputs],
        core=target.core,
        address=address,
        features=manifest.features,
        threads=manifest.threads if threads is None else threads,
    )
    weakref.finalize(program, private.cleanup)
    return Artifact(folder, manifest, program)


def _type_text(array: Array) -> str:
    try:
        return str(TensorType.of(array))
    except TypeError:
        return f"{array.dtype}{list(array.shape)}"


def _check_machine(manifest: Manifest) -> None:
    host = detect_host()
    if host.architecture != manifest.architecture:
        raise DeviceError(f"compiled for {manifest.architecture}; this machine is {host.architecture}")
    missing = sorted(set(manifest.features) - host.features)
    if missing:
        raise DeviceError(
            f"compiled for a processor with {', '.join(missing)}, which this one ({host.model}) lacks: compile it "
            "again here, or for an instruction set both have, such as cpu{isa=avx2}"
        )


def _checked_bytes(folder: Path, name: str, manifest: Manifest) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {folder / name}: {error.strerror or error}") from None
    _check_hash(folder / name, content, manifest)
    return content


def _check_hash(path: Path, content: bytes | memoryview, manifest: Manifest) -> None:
    if path.name not in manifest.files:
        raise ModelError(f"{path} is not in the manifest")
    if file_hash(content) != manifest.files[path.name]:
        raise ModelError(f"{path} is not what was compiled: its hash is not the manifest's; compile the model again")


def _map_weights(folder: Path, manifest: Manifest) -> list[Array]:
    """What the program takes behind its inputs: the blob of the weights, and those that it takes by themselves.

    They are views of the mapped file, private to this process, so that nothing can write to it.
    """
    path = folder / WEIGHTS
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            blob = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)) if size else memoryview(bytearray())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from None
    _check_hash(path, blob, manifest)
    arrays: list[Array] = [np.frombuffer(blob, np.uint8)]
    for spec in manifest.weights:
        type = TensorSpec("", spec.shape, spec.dtype).type
        if spec.offset % ALIGNMENT or spec.offset + type.bytes > len(blob):
            raise ModelError(f"{folder / NAME} is damaged: a weight at {spec.offset} does not fit {WEIGHTS}")
        if spec.is_argument:
            part = blob[spec.offset : spec.offset + type.bytes]
            arrays.append(np.frombuffer(part, type.dtype.numpy).reshape(spec.shape))
    return arrays


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill that becomes `path` when the block ends well, and vanishes when it does not.

    Raises UsageError when `path` exists, unless `overwrite` and it is an artifact or empty.
    """
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise UsageError(f"{path} exists already; choose another folder or allow to overwrite it")
        if not path.is_dir() or (any(path.iterdir()) and not (path / NAME).is_file()):
            raise UsageError(f"{path} exists and is no artifact; it is not overwritten")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        yield temporary
        temporary.chmod(0o755)
        _take_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(new: Path, path: Path) -> None:
    """Rename `new` to `path`, moving away what is there and deleting it afterwards."""
    if not path.exists():
        new.rename(path)
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-old-", dir=path.parent) as away:
        path.rename(Path(away) / "old")
        new.rename(path)


def write_weights(arrays: list[Array], offsets: list[int], path: Path) -> None:
    """Write the blob that has each array at its offset in bytes."""
    with path.open("wb") as file:
        for array, offset in zip(arrays, offsets, strict=True):
            file.write(b"\0" * (offset - file.tell()))
            file.write(np.ascontiguousarray(array).data)
