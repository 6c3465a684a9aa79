"""Where TVM's runtime for other architectures comes from."""

from pathlib import Path

import pytest

from nascompiler.backends.devices import emulator
from nascompiler.backends.devices.runtime import VARIABLE, fetch_runtime, find_runtime, missing_runtime
from nascompiler.backends.errors import DeviceError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "runtime"))


@pytest.mark.usefixtures("nowhere")
def test_what_is_missing_says_how_to_get_it() -> None:
    with pytest.raises(DeviceError, match=r"to fetch it: nascompiler device setup"):
        find_runtime("aarch64")


@pytest.mark.usefixtures("nowhere")
def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "apache_tvm.whl"
    wheel.write_bytes(b"something else")
    with pytest.raises(DeviceError, match="none of those that are pinned"):
        fetch_runtime("aarch64", [wheel])
    assert missing_runtime("aarch64")
    with pytest.raises(DeviceError, match="no runtime for riscv64"):
        fetch_runtime("riscv64")


@pytest.mark.usefixtures("nowhere")
def test_all_that_emulation_lacks_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(emulator, "which", lambda _: None)
    monkeypatch.setattr(emulator, "SYSROOT", tmp_path)
    with pytest.raises(DeviceError) as caught:
        emulator.require_emulator()
    message = str(caught.value)
    assert "qemu-aarch64, ld-linux-aarch64.so.1, libstdc++.so.6" in message
    assert "apt-get install --no-install-recommends qemu-user gcc-aarch64-linux-gnu" in message
    assert "nascompiler device setup" in message
