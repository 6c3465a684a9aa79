from __future__ import annotations

import pytest

from nascompiler.backends.arm.estimate import tools
from nascompiler.backends.errors import DeviceError


def fake(folder, name, version):
    path = folder / name
    path.write_text(f"#!/bin/sh\necho 'Debian LLVM version {version}'\n")
    path.chmod(0o755)


def test_an_old_llvm_mca_is_a_clear_error(tmp_path, monkeypatch):
    for name in ("llvm-mca", "llvm-mc"):
        fake(tmp_path, name, "14.0.6")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"version 17 or later: .* found llvm-mca of version 14; apt-get install"):
        tools.llvm(17)


def test_the_version_that_was_checked_is_preferred(tmp_path, monkeypatch):
    for version in (18, 19, 21):
        for name in ("mca", "mc"):
            fake(tmp_path, f"llvm-{name}-{version}", f"{version}.1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.llvm(17).version == 19
    assert tools.llvm(20).version == 21


def test_what_is_missing_is_said_with_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for find in (lambda: tools.llvm(17), tools.emulator, tools.linker, tools.plugin):
        with pytest.raises(DeviceError, match=r"apt-get install .*llvm-19"):
            find()


def test_a_tool_that_fails_says_why():
    with pytest.raises(DeviceError, match="disassembling failed: cat: "):
        tools.run_tool(["cat", "/no/such/file"], "", "disassembling")
