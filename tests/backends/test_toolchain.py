"""Which linker is taken, its line, and what its failures say."""

from __future__ import annotations

import logging
from pathlib import Path
from shutil import which

import pytest

from nascompiler.backends import toolchain
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import detect_host
from nascompiler.backends.target import parse_target
from nascompiler.backends.toolchain import find_toolchain, link_shared

FOREIGN = "aarch64" if detect_host().architecture != "aarch64" else "x86_64"


def have(monkeypatch: pytest.MonkeyPatch, *tools: str, ziglang: bool = False) -> None:
    """Pretend that only some tools are installed."""
    monkeypatch.setattr(toolchain, "which", lambda name: f"/bin/{name}" if name in tools else None)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: object() if ziglang else None)


@pytest.mark.parametrize(
    ("tools", "ziglang", "name"),
    [
        (("gcc", f"{FOREIGN}-linux-gnu-gcc", "clang", "ld.lld"), True, f"{FOREIGN}-linux-gnu-gcc"),
        (("gcc", "clang", "ld.lld"), True, "clang"),
    ],
)
def test_the_first_that_is_there_is_taken(
    monkeypatch: pytest.MonkeyPatch, tools: tuple[str, ...], ziglang: bool, name: str
) -> None:
    have(monkeypatch, *tools, ziglang=ziglang)
    assert find_toolchain(FOREIGN).name == name
    assert find_toolchain(detect_host().architecture).name == "gcc"


def test_ziglang_links_where_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, toolchain.sys.executable, "clang", ziglang=True)  # clang without lld cannot link for others
    found = find_toolchain(FOREIGN)
    assert found.name == "ziglang"
    assert found.command[-1] == f"{FOREIGN}-linux-gnu.2.28"


@pytest.mark.skipif(FOREIGN != "aarch64", reason="this machine is aarch64")
def test_without_a_linker_there_is_one_error_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "gcc")
    with pytest.raises(DeviceError, match=r"needs a linker for aarch64: apt-get install gcc-aarch64-linux-gnu .*clang"):
        find_toolchain("aarch64")


@pytest.mark.skipif(which("gcc") is None, reason="apt-get install gcc")
def test_a_linker_that_fails_tells_its_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bad.o").write_bytes(b"nothing")
    with caplog.at_level(logging.INFO, logger="nascompiler.toolchain"):
        with pytest.raises(DeviceError, match=r"linking failed: .*gcc -shared .*bad\.o"):
            link_shared([tmp_path / "bad.o"], tmp_path / "net.so", parse_target("cpu").isa)
    assert "-shared" in caplog.text
