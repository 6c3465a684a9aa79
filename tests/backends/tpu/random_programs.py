"""Random programs for small machines: every instruction, flag and register in use, addresses in range, no SYNCs yet."""

from __future__ import annotations

import numpy as np

from nascompiler.backends.tpu.isa import (
    ActFlag,
    ElementType,
    Function,
    MmcFlag,
    Opcode,
    Program,
    ProgramBuilder,
    RdwFlag,
    VecFunction,
)
from nascompiler.backends.tpu.isa.hazards import insert_synchronization
from nascompiler.backends.tpu.machine import Machine

HOST_BYTES = 2048
WEIGHT_BYTES = 8192
_REGION = 3000
_LIMITS = ((-128, 127), (0, 255), (-(1 << 15), (1 << 15) - 1), (0, (1 << 16) - 1))


class RandomProgram:
    """Draws instructions one by one from a generator."""

    def __init__(self, rng: np.random.Generator, machine: Machine) -> None:
        self.rng, self.machine = rng, machine
        self.builder = ProgramBuilder()
        self.has_tile = False
        self.wide_weights = False

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def address(self) -> int:
        return self.number(0, _REGION)

    def window(self, bank: str, channels: int, size: int) -> int:
        """Registers of an image, a window and a grid; returns positions of the grid."""
        height, width, images = self.number(1, 5), self.number(1, 5), self.number(1, 2)
        names = {
            "GRID_WIDTH": self.number(1, 4),
            "GRID_HEIGHT": self.number(1, 4),
            "STRIDE_Y": self.number(1, 2),
            "STRIDE_X": self.number(1, 2),
            "PAD_TOP": self.number(-1, 2),
            "PAD_LEFT": self.number(-1, 2),
            "DILATION_Y": self.number(1, 2),
            "DILATION_X": self.number(1, 2),
            "HEIGHT": height,
            "WIDTH": width,
        }
        pitch = (channels + self.number(0, 2)) * size
        strides = {"PIXEL_STRIDE": pitch, "ROW_STRIDE": pitch * width, "IMAGE_STRIDE": pitch * width * height}
        source = "SOURCE_" if bank == "A" else ""
        values = {f"{bank}_{name}": value for name, value in names.items()}
        values |= {f"{bank}_{source}{name}": value for name, value in strides.items()}
        self.builder.configure(**values)
        return images * names["GRID_WIDTH"] * names["GRID_HEIGHT"]

    def store(self, is_sum: bool, lanes: int, *, value: int | None = None, table: bool | None = None) -> int:
        """Registers of rounding and storing; returns flags."""
        flags = 0
        value = self.number(0, 3) if value is None else value
        out = value
        has_table = self.chance(0.3) if table is None else table
        if has_table and value <= ElementType.U8:
            flags, out = ActFlag.TABLE, self.number(0, 3)
        elif is_sum and self.chance(0.2):
            out = ElementType.F32
        low, high = _LIMITS[value]
        limits = sorted((self.number(low, high), self.number(low, high))) if self.chance(0.3) else (low, high)
        functions = list(Function) if out == ElementType.F32 else list(Function)[:3]
        self.builder.configure(
            A_PARAMETERS=8 * self.number(0, 8),
            A_ZERO_POINT=self.number(low, high),
            A_LOW=limits[0],
            A_HIGH=limits[1],
            A_FUNCTION=functions[self.number(0, len(functions) - 1)],
            A_INVERSE_SCALE=float(self.rng.uniform(0.1, 20)),
            A_VALUE_TYPE=value,
            A_OUT_TYPE=out,
            A_TABLE=self.number(200, 400),
            A_OUT_STRIDE=lanes * 4 + self.number(0, 3),
        )
        return int(flags)

    def host(self) -> None:
        inside, outside = self.address(), 64 * self.number(0, 15)
        if self.chance(0.3):
            self.builder.configure(H_BUFFER_STRIDE=self.number(4, 40), H_HOST_STRIDE=self.number(4, 40))
            opcode = Opcode.RHM_ALT if self.chance() else Opcode.WHM_ALT
            self.builder.append(
                opcode, word=inside, length=self.number(1, 5), lanes=self.number(1, 30), extension=outside // 64
            )
        elif self.chance(0.7):
            self.builder.read_host(inside, outside, self.number(1, 500))
        else:
            self.builder.write_host(inside, outside, self.number(1, 500))

    def parameters(self) -> None:
        self.builder.read_parameters(8 * self.number(0, 75), 64 * self.number(0, 60), self.number(1, 600))

    def multiply(self) -> None:
        size = self.machine.array
        flags = 0
        if not self.has_tile or self.chance(0.7):
            self.wide_weights = self.chance(0.2)
            tiles = self.number(1, 2)
            self.builder.read_weights(
                64 * self.number(0, 60),
                rows=self.number(1, size),
                columns=self.number(1, size),
                tiles=tiles,
                flags=int(RdwFlag.WIDE) * self.wide_weights | int(RdwFlag.PARTIAL) * self.chance(0.4),
            )
            flags = int(MmcFlag.NEW_TILE)
            self.has_tile = True
            for _ in range(tiles):
                self.one_multiply(flags)
        else:
            self.one_multiply(flags)

    def one_multiply(self, flags: int) -> None:
        wide = self.chance(0.2)
        flags |= int(MmcFlag.WIDE_WEIGHTS) * self.wide_weights | int(MmcFlag.WIDE_ACTIVATIONS) * wide
        flags |= int(MmcFlag.UNSIGNED) * self.chance() | int(MmcFlag.ACCUMULATE) * self.chance()
        length, position = self.number(1, 12), 0
        channels, taps = self.number(1, 6), self.number(1, 6)
        self.builder.configure(M_K=channels * taps, M_CHANNELS=channels, M_KERNEL_WIDTH=self.number(1, 3))
        self.builder.configure(M_PAD_VALUE=self.number(0, 100))
        if self.chance(0.6):
            flags |= int(MmcFlag.CONVOLVE)
            positions = self.window("M", channels, 1 + wide)
            position = self.number(0, positions - 1)
            length = self.number(1, min(12, positions - position))
        else:
            self.builder.configure(M_PIXEL_STRIDE=self.number(0, 40))
        accumulator = self.number(0, self.machine.accumulators - length)
        first = self.number(0, channels * taps - 1) if self.chance(0.3) else 0
        self.builder.multiply(accumulator, self.address(), length, flags=flags, first_element=first, position=position)

    def activate(self) -> None:
        lanes, length = self.number(1, self.machine.array), self.number(1, 10)
        flags, position = self.store(True, lanes), 0
        if self.chance(0.4):
            flags |= int(ActFlag.SCATTER)
            width = self.number(1, 5)
            self.builder.configure(
                A_GRID_WIDTH=self.number(1, 3),
                A_GRID_HEIGHT=self.number(1, 3),
                A_PATCH_CHANNELS=self.number(1, 4),
                A_PATCH_WIDTH=self.number(1, 3),
                A_PATCH_STRIDE_Y=self.number(1, 3),
                A_PATCH_STRIDE_X=self.number(1, 3),
                A_OUT_HEIGHT=self.number(1, 6),
                A_OUT_WIDTH=width,
                A_OUT_STRIDE=20,
                A_OUT_ROW_STRIDE=20 * width,
                A_OUT_IMAGE_STRIDE=120 * width,
            )
            position = self.number(0, 3)
        accumulator = self.number(0, self.machine.accumulators - length)
        self.builder.activate(accumulator, self.address(), length, lanes, flags=flags, position=position)

    def windowed(self, depthwise: bool) -> None:
        lanes, source = self.number(1, min(6, self.machine.array)), self.number(0, 3)
        positions = self.window("A", lanes, 2)
        position = self.number(0, positions - 1)
        length = self.number(1, min(8, positions - position))
        is_average = self.chance()
        value = source if not (depthwise or is_average) else None
        flags = self.store(depthwise, lanes, value=value)
        low, high = _LIMITS[source]
        self.builder.configure(
            A_SOURCE=self.address(),
            A_SOURCE_TYPE=source,
            A_SOURCE_ZERO_POINT=self.number(low, high),
            A_RATIO=float(self.rng.uniform(0.1, 3)),
            A_KERNEL_HEIGHT=self.number(1, 3),
            A_KERNEL_WIDTH=self.number(1, 3),
            A_WEIGHTS=self.number(0, 300),
        )
        out = 8000 + self.address()
        if depthwise:
            self.builder.depthwise(out, length, lanes, flags=flags, position=position)
            return
        if is_average:
            flags |= int(ActFlag.AVERAGE) | int(ActFlag.COUNT_PADDING) * self.chance()
        self.builder.pool(out, length, lanes, flags=flags, position=position)

    def vector(self) -> None:
        lanes, length = self.number(1, self.machine.array), self.number(1, 8)
        function, a, b = self.number(0, 3), self.number(0, 3), self.number(0, 3)
        flags = self.store(False, lanes, value=a if function == VecFunction.COPY else None)
        size = 1 + (b >= ElementType.I16)
        self.builder.configure(
            A_A_TYPE=a,
            A_A_ZERO_POINT=self.number(-128, 127),
            A_A_RATIO=float(self.rng.uniform(0.001, 2)),
            A_A_STRIDE=self.number(0, 40),
            A_B_BASE=self.address(),
            A_B_TYPE=b,
            A_B_ZERO_POINT=self.number(-128, 127),
            A_B_RATIO=float(self.rng.uniform(0.001, 2)),
            A_B_STRIDE=self.number(0, 2) * lanes,
            A_B_LANE_STRIDE=size * self.chance(0.8),
        )
        self.builder.vector(function, 8000 + self.address(), self.address(), length, lanes, flags=flags)

    def draw(self, steps: int) -> Program:
        """The program, with the SYNCs it needs."""
        self.builder.tag("first")
        self.builder.read_host(0, 0, HOST_BYTES)
        self.parameters()
        for step in range(steps):
            if step == steps // 2:
                self.builder.tag("second")
            kind = self.number(0, 9)
            if kind <= 3:
                self.multiply()
            elif kind <= 5:
                self.activate()
            elif kind == 6:
                self.windowed(depthwise=self.chance())
            elif kind == 7:
                self.vector()
            elif kind == 8:
                self.host()
            else:
                self.parameters()
        self.builder.write_host(self.address(), 0, HOST_BYTES)
        weights = self.rng.integers(0, 256, WEIGHT_BYTES).astype(np.uint8)
        # Multipliers are bits of float32 numbers: keep them in a range where results differ.
        words = weights.view(np.uint32)
        words[1::2] = self.rng.uniform(0.0001, 0.1, words[1::2].size).astype(np.float32).view(np.uint32)
        records = insert_synchronization(self.builder.finish(), self.machine)
        return Program(records, weights, self.machine.array, tuple(self.builder.tags), HOST_BYTES + 64 * 20)


def random_host(rng: np.random.Generator, program: Program) -> np.ndarray:
    """Host memory with random bytes."""
    return rng.integers(0, 256, program.host_bytes).astype(np.uint8)
