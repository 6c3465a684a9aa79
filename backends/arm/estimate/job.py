"""A program run in the emulator under the plugin: its results, and the profile of its calls."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nascompiler.backends.arm.estimate import tools
from nascompiler.backends.arm.estimate.profile import Profile, read_profiles
from nascompiler.backends.cores import Core
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.tvm_adapter.steps import Argument, Step, Steps
from nascompiler.ir.types import Array

_ARENA = 0x10_0000_0000
_STACK_END = _ARENA + (8 << 20)
_SCRATCH_END = _ARENA + (128 << 20)
_FIRST_ARRAY = _SCRATCH_END
"""Everything lies at the same addresses in every run, so that the caches do the same."""

_MARGIN = 1 << 16
"""Memory behind the last array: kernels read past the end of weights."""

_MOST_BYTES = 4 << 30
"""More than any call of a mobile network takes."""

LIBRARY = "code.so"

_ALIGNMENT = 64
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
"""DLPack's numbers of kinds of types, by NumPy's letters."""


class CodeFailure(Exception):
    """Code that did not run to its end in the emulator: it crashed, hung or returned an error."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


@dataclass(frozen=True)
class Run:
    """What a program computed, and what it did meanwhile."""

    outputs: list[Array]
    profile: Profile


def run_profiled(
    program: Steps,
    inputs: Sequence[Array],
    weights: Sequence[Array],
    core: Core,
    folder: Path,
    *,
    timeout_s: float,
) -> Run:
    """Run a program once. Its inputs and what it writes to are in the caches as far as they fit, weights are not.

    The code is the LIBRARY in `folder`, which is for other files too. Raises CodeFailure when the code fails,
    DeviceError when it cannot be run here.
    """
    for name, tool in (("plugin.so", tools.plugin()), ("runner", tools.runner())):
        (folder / name).symlink_to(tool)  # names that are the same everywhere: they stand in the program's memory
    job = _Job(program, folder)
    command = [tools.emulator(), "-cpu", core.emulator.cpu, "-L", tools.SYSROOT]
    command += ["-plugin", ",".join(["./plugin.so", "out=profile.txt", *job.plugin_options(core)])]
    command += ["./runner", "job.txt"]
    (folder / "job.txt").write_text(job.text(inputs, weights), encoding="ascii")
    try:
        # no environment: what stands there moves the stack of the program
        done = subprocess.run(
            command,
            cwd=folder,
            env={},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CodeFailure(f"still running in the emulator after {timeout_s:.0f} s", timed_out=True) from None
    if done.stdout.split() != ["started", "finished"]:
        words = done.stderr.strip()[-500:]
        if not done.stdout:
            raise DeviceError(f"the emulator cannot run our program with its plugin: {words}")
        how = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
        raise CodeFailure(f"{how} in the emulator of {core.emulator.cpu}: {words}")
    profiles = list(read_profiles(folder / "profile.txt"))
    if len(profiles) != 1:
        raise DeviceError(f"the emulator's plugin left {len(profiles)} profiles of one run")
    return Run(job.outputs(), profiles[0])


class _Job:
    """The file that tells the runner what to do."""

    def __init__(self, program: Steps, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._addresses, self._end = _addresses(program)
        self._lines: list[str] = []
        self._tensors = 0

    def plugin_options(self, core: Core) -> list[str]:
        """What the plugin has to know: where the arrays are, and the caches."""
        options = [f"arena={_ARENA:x}:{self._end:x}", f"line={core.line_bytes}"]
        for number, cache in enumerate([core.l1_data, core.l2, *([core.l3] if core.l3 else [])], start=1):
            options.append(f"l{number}={cache.bytes // core.line_bytes // cache.ways}:{cache.ways}")
        return options

    def text(self, inputs: Sequence[Array], weights: Sequence[Array]) -> str:
        program = self._program
        self._say("arena", f"{_ARENA:#x}", self._end - _ARENA)
        self._say("stack", f"{_STACK_END:#x}", f"{_STACK_END:#x}", f"{_SCRATCH_END:#x}")
        self._say("library", f"./{LIBRARY}")
        given = [*inputs, *weights]
        for index, array in enumerate(given):
            path = self._folder / f"array{index}.bin"
            np.ascontiguousarray(array).tofile(path)
            self._say("array", f"{self._addresses[index]:#x}", array.nbytes, path.name)
        written = range(len(given), len(program.arrays))
        for index in written:  # NaN, or -1: nothing that is right by chance
            self._say("array", f"{self._addresses[index]:#x}", program.arrays[index].bytes, "-")
        calls = [self._call(step) for step in program.steps]
        self._say("done", "started")
        self._say("empty")
        for index in [*written, *range(program.inputs)]:
            self._say("touch", f"{self._addresses[index]:#x}", program.arrays[index].bytes)
        self._lines += calls
        self._say("profile")
        for index in program.outputs:
            self._say("write", f"{self._addresses[index]:#x}", program.arrays[index].bytes, f"output{index}.bin")
        self._say("done", "finished")
        return "\n".join(self._lines) + "\n"

    def outputs(self) -> list[Array]:
        """The results that the program has left."""
        found = []
        for index in self._program.outputs:
            type = self._program.arrays[index]
            array = np.fromfile(self._folder / f"output{index}.bin", type.dtype.numpy)
            found.append(array.reshape(type.static_shape))
        return found

    def _call(self, step: Step) -> str:
        if step.is_kernel:
            return " ".join(["kernel", step.symbol, *(str(self._number(a)) for a in step.arguments)])
        return " ".join(["function", step.symbol, *(self._packed(a) for a in step.arguments)])

    def _number(self, argument: Argument) -> int:
        return argument if isinstance(argument, int) else self._addresses[argument[0]]

    def _packed(self, argument: Argument) -> str:
        if isinstance(argument, int):
            return f"i{argument}"
        index, shape = argument
        dtype = self._program.arrays[index].dtype.numpy
        kind = _CODES[dtype.kind]
        self._say("tensor", dtype.itemsize * 8, kind, 1, f"{self._addresses[index]:#x}", *shape)
        self._tensors += 1
        return f"t{self._tensors - 1}"

    def _say(self, *words: object) -> None:
        self._lines.append(" ".join(map(str, words)))


def _addresses(program: Steps) -> tuple[list[int], int]:
    """Where each array lies, and the end of all memory.

    Activations come first, so that weights of another size do not move them.
    """
    count = len(program.arrays)
    weights = range(program.inputs, program.inputs + program.weights)
    order = [*range(program.inputs), *range(program.inputs + program.weights, count), *weights]
    places = [0] * count
    end = _FIRST_ARRAY
    for index in order:
        places[index] = end
        end += -(-program.arrays[index].bytes // _ALIGNMENT) * _ALIGNMENT
    end += _MARGIN
    if end - _FIRST_ARRAY > _MOST_BYTES:
        raise DeviceError(f"a kernel call on arrays of {end - _FIRST_ARRAY} bytes is too large to be profiled")
    return places, end
