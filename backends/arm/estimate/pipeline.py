"""Cycles of straight code by LLVM's model of a core's pipeline: llvm-mca, in its steady state."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Sequence

from nascompiler.backends.arm.estimate.block_cycles import BlockCycles
from nascompiler.backends.arm.estimate.tools import Llvm, run_tool
from nascompiler.backends.errors import DeviceError

Words = tuple[int, ...]
"""The instructions of a block."""

_FEATURES = "-mattr=+v8.6a,+fullfp16,+dotprod,+i8mm,+bf16"
"""What any code of ours may use; what the core has is checked by running it."""

_REPETITIONS = ((40, 24, 72), (300, 10, 30), (1 << 30, 4, 10))
"""For blocks of at most so many instructions, how often they are repeated in two simulations.

The difference of the two is the steady state: what it takes to fill and to drain the pipeline is in both of them.
"""


class Pipeline:
    """Asks llvm-mca about blocks, about each once: what it says is kept for other processes too."""

    def __init__(self, processor: str, llvm: Llvm) -> None:
        self.processor, self.llvm = processor, llvm
        self._texts: dict[int, str] = {}
        self._known = BlockCycles(processor, llvm.version)

    def cycles(self, blocks: Collection[Words]) -> dict[Words, float]:
        """The cycles that each block takes when it is repeated.

        Raises DeviceError for code that the model does not know.
        """
        found = self._known.of(blocks)
        new = [block for block in dict.fromkeys(blocks) if block not in found]
        if new:
            made = self._simulated(new)
            self._known.add(made)
            found |= made
        return found

    def _simulated(self, blocks: Sequence[Words]) -> dict[Words, float]:
        self._disassemble({word for block in blocks for word in block})
        groups = []
        least = 0
        for most, few, many in _REPETITIONS:
            group = [block for block in blocks if least < len(block) <= most]
            least = most
            if group:
                groups.append((group, few, many, self._start(group, few), self._start(group, many)))
        found = {}
        for group, few, many, first, second in groups:
            totals = [self._finish(process, len(group)) for process in (first, second)]
            for block, of_few, of_many in zip(group, *totals, strict=True):
                found[block] = (of_many - of_few) / (many - few)
        return found

    def _start(self, blocks: Sequence[Words], repetitions: int) -> subprocess.Popen[str]:
        """Begin to simulate blocks: as many simulations as there are run at the same time."""
        lines = []
        for number, block in enumerate(blocks):
            texts = [self._texts[word] for word in block]
            lines += [f"# LLVM-MCA-BEGIN {number}", *texts, f"# LLVM-MCA-END {number}"]
        options = ["-mtriple=aarch64-linux-gnu", f"-mcpu={self.processor}", _FEATURES, f"-iterations={repetitions}"]
        quiet = ["-json", "-instruction-info=0", "-resource-pressure=0"]
        pipe = subprocess.PIPE
        process = subprocess.Popen([self.llvm.mca, *options, *quiet], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert process.stdin is not None
        process.stdin.write("\n".join(lines) + "\n")
        process.stdin.close()
        process.stdin = None
        return process

    def _finish(self, process: subprocess.Popen[str], count: int) -> list[int]:
        """The cycles of all repetitions of each block."""
        text, words = process.communicate()
        if process.returncode != 0:
            raise DeviceError(f"the model of the core's pipeline failed: llvm-mca: {words.strip()[:500]}")
        regions = {int(region["Name"]): region for region in json.loads(text)["CodeRegions"]}
        if len(regions) != count:
            raise DeviceError(f"llvm-mca answered for {len(regions)} of {count} pieces of code")
        return [int(regions[number]["SummaryView"]["TotalCycles"]) for number in range(count)]

    def _disassemble(self, words: Collection[int]) -> None:
        """Make the texts of instructions known."""
        new = sorted(word for word in words if word not in self._texts)
        if not new:
            return
        given = "\n".join(" ".join(f"0x{byte:02x}" for byte in word.to_bytes(4, "little")) for word in new)
        command = [self.llvm.mc, "--disassemble", "--triple=aarch64-linux-gnu", _FEATURES]
        lines = [line.strip() for line in run_tool(command, given, "disassembling").splitlines()]
        lines = [line for line in lines if line and not line.startswith(".")]
        if len(lines) != len(new):
            raise DeviceError(f"{len(new) - len(lines)} instructions are unknown to the disassembler")
        self._texts |= dict(zip(new, lines, strict=True))
