"""Cycles of straight code by LLVM's model of a core's pipeline: llvm-mca, in its steady state."""

from __future__ import annotations

import json
from collections.abc import Collection

from nascompiler.backends.arm.estimate.tools import Llvm, run_tool
from nascompiler.backends.errors import DeviceError

_TRIPLE = "--triple=aarch64-linux-gnu"
_FEATURES = "-mattr=+v8.6a,+fullfp16,+dotprod,+i8mm,+bf16"
"""What any code of ours may use; what the core has is checked by running it."""

_SIMULATED = 20_000
"""Instructions to simulate of a block, about: the more, the less it counts that the pipeline is empty at first."""

_FEWEST, _MOST = 20, 400
"""Repetitions of a block."""


class Pipeline:
    """Asks llvm-mca about blocks, about each once."""

    def __init__(self, processor: str, llvm: Llvm) -> None:
        self.processor, self.llvm = processor, llvm
        self._texts: dict[int, str] = {}
        self._cycles: dict[tuple[int, ...], float] = {}

    def cycles(self, blocks: Collection[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        """The cycles that each block takes when it is repeated; blocks are the words of their instructions.

        Raises DeviceError for code that the model does not know.
        """
        by_repeats: dict[int, list[tuple[int, ...]]] = {}
        for block in dict.fromkeys(blocks):
            if block not in self._cycles:
                by_repeats.setdefault(_repeats(block), []).append(block)
        self._disassemble({word for group in by_repeats.values() for block in group for word in block})
        for repeats, group in by_repeats.items():
            self._cycles |= dict(zip(group, self._simulated(group, repeats), strict=True))
        return {block: self._cycles[block] for block in blocks}

    def _simulated(self, blocks: list[tuple[int, ...]], repeats: int) -> list[float]:
        lines = []
        for number, block in enumerate(blocks):
            texts = [self._texts[word] for word in block]
            lines += [f"# LLVM-MCA-BEGIN {number}", *texts, f"# LLVM-MCA-END {number}"]
        options = [
            "-mtriple=aarch64-linux-gnu",
            f"-mcpu={self.processor}",
            _FEATURES,
            f"-iterations={repeats}",
            "-json",
        ]
        quiet = ["-instruction-info=0", "-resource-pressure=0"]
        text = run_tool([self.llvm.mca, *options, *quiet], "\n".join(lines) + "\n", "the model of the core's pipeline")
        regions = json.loads(text)["CodeRegions"]
        if len(regions) != len(blocks):
            raise DeviceError(f"llvm-mca answered for {len(regions)} of {len(blocks)} pieces of code")
        found = {int(region["Name"]): region["SummaryView"]["TotalCycles"] / repeats for region in regions}
        return [found[number] for number in range(len(blocks))]

    def _disassemble(self, words: Collection[int]) -> None:
        """Make the texts of instructions known."""
        new = sorted(word for word in words if word not in self._texts)
        if not new:
            return
        given = "\n".join(" ".join(f"0x{byte:02x}" for byte in word.to_bytes(4, "little")) for word in new)
        text = run_tool([self.llvm.mc, "--disassemble", _TRIPLE, _FEATURES], given, "disassembling")
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith(".")]
        if len(lines) != len(new):
            raise DeviceError(f"{len(new) - len(lines)} instructions are unknown to the disassembler")
        self._texts |= dict(zip(new, lines, strict=True))


def _repeats(block: tuple[int, ...]) -> int:
    """How often to repeat a block, which depends on nothing else."""
    return max(_FEWEST, min(_MOST, _SIMULATED // len(block)))
