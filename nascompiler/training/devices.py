"""Where training runs and what makes it repeat: the device, the seed, deterministic algorithms, threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from nascompiler.backends.measure.lease import device_shared
from nascompiler.ir.errors import UsageError

CPU = "cpu"


def training_device(name: str = "auto") -> str:
    """`auto` is CUDA where there is one, else the CPU; raises UsageError for a device that torch does not have here."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else CPU
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"cannot train on {name!r}: {reason}; accepted: auto, cpu, cuda, cuda:N") from None
    return name


def step_on(device: str) -> AbstractContextManager[None]:
    """A step of training: on the host it waits while somebody measures there, and they wait for its end."""
    return device_shared() if device == CPU else nullcontext()


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """torch inside the block draws from `seed`, uses deterministic algorithms and this many threads."""
    deterministic: Any = torch.utils.deterministic  # its attributes are made at run time
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = deterministic.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's matrix products repeat only with this
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        # Filling new memory finds errors of torch's; it takes an eighth of the time of a small network.
        deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])
            deterministic.fill_uninitialized_memory = filled
