"""What a library is for, read from the file."""

from __future__ import annotations

from pathlib import Path
from shutil import which

import pytest

from nascompiler.backends.elf import check_library, instructions_of, machine_of
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.gemm import Gemm
from nascompiler.backends.kernels.gemm_int8 import GemmInt8
from nascompiler.backends.kernels.object_code import emit_object
from nascompiler.backends.kernels.requantize import Requantization
from nascompiler.backends.target import parse_target
from nascompiler.backends.toolchain import link_shared
from nascompiler.ir import DType

needs_linker = pytest.mark.skipif(
    which("aarch64-linux-gnu-gcc") is None, reason="apt-get install gcc-aarch64-linux-gnu"
)


def product_of_bytes(core: str, folder: Path) -> Path:
    """The object of an integer product for a core."""
    isa = parse_target(f"arm:{core}").isa
    path = folder / f"{core}.o"
    kernel = GemmInt8(
        isa,
        rows=4,
        vectors=2,
        x_dtype=DType.I8,
        requantization=Requantization(DType.I8),
        by_matrices="i8mm" in isa.dots,
    )
    path.write_bytes(emit_object(kernel))
    return path


def test_objects_name_their_machine(tmp_path: Path) -> None:
    for target, machine in (("cpu", "x86_64"), ("arm:cortex-a72", "aarch64")):
        isa = parse_target(target).isa
        if target == "cpu" and isa.architecture != machine:
            continue
        (tmp_path / "k.o").write_bytes(emit_object(Gemm(isa, rows=2, vectors=1)))
        assert machine_of(tmp_path / "k.o") == machine


@pytest.mark.parametrize(
    ("core", "found"), [("cortex-a72", set()), ("cortex-a76", {"asimddp"}), ("neoverse-v1", {"i8mm"})]
)
def test_instructions_say_what_a_processor_must_have(tmp_path: Path, core: str, found: set[str]) -> None:
    assert set(instructions_of(product_of_bytes(core, tmp_path))) == found


@needs_linker
def test_a_library_with_more_than_its_target_has_is_refused(tmp_path: Path) -> None:
    target = parse_target("arm:cortex-a72")
    link_shared([product_of_bytes("cortex-a72", tmp_path)], tmp_path / "right.so", target.isa)
    with pytest.raises(DeviceError, match=r"wrong\.so has instructions that its target lacks: sdot or udot.*asimddp"):
        link_shared([product_of_bytes("cortex-a76", tmp_path)], tmp_path / "wrong.so", target.isa)


@needs_linker
def test_a_library_of_another_architecture_is_refused(tmp_path: Path) -> None:
    isa = parse_target("arm:cortex-a72").isa
    link_shared([product_of_bytes("cortex-a72", tmp_path)], tmp_path / "net.so", isa)
    with pytest.raises(DeviceError, match=r"net\.so is for aarch64; it must be for x86_64"):
        check_library(tmp_path / "net.so", "x86_64", ())


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"MZ" + bytes(200), b"\x7fELF\x01\x01" + bytes(100)])
def test_what_is_no_library_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.so").write_bytes(content)
    with pytest.raises(DeviceError, match="no shared library for a 64-bit little-endian Linux"):
        machine_of(tmp_path / "net.so")


def test_a_file_that_is_cut_off_is_one_error(tmp_path: Path) -> None:
    whole = product_of_bytes("cortex-a72", tmp_path).read_bytes()
    (tmp_path / "cut.so").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DeviceError, match=r"cut\.so is cut off"):
        instructions_of(tmp_path / "cut.so")
