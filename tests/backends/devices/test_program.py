"""Programs on emulated cores: right results, and what becomes of code that crashes, hangs or is not for the core."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.artifact import LIBRARY, load_artifact
from nascompiler.backends.cores import find_core
from nascompiler.backends.devices.address import Address
from nascompiler.backends.devices.emulator import EmulatedServer
from nascompiler.backends.devices.opening import describe_device, open_session, read_description
from nascompiler.backends.devices.program import DeviceProgram
from nascompiler.backends.errors import DeviceCrashError, DeviceError, DeviceLostError, DeviceTimeOutError
from nascompiler.backends.manifest import Manifest
from nascompiler.backends.toolchain import find_toolchain
from nascompiler.backends.verify_artifact import random_images, verify_artifact
from nascompiler.ir import TensorType, UsageError
from tests.backends.devices.conftest import Compile

pytestmark = pytest.mark.emulated

EMULATED = Address()

CODE = """
int __tvm_ffi_spin(void *self, const void *arguments, int count, void *result) { for (;;) __asm__ volatile(""); }
int __tvm_ffi_crash(void *self, const void *arguments, int count, void *result) { *(volatile int *)8 = 1; return 0; }
int __tvm_ffi_dots(void *self, const void *arguments, int count, void *result) {
  __asm__ volatile(".arch armv8.2-a+dotprod\\n sdot v0.4s, v1.16b, v2.16b" ::: "v0");
  return 0;
}
"""


@pytest.fixture(scope="session")
def bad_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a function that does not end, one that crashes, and one for cores with products of bytes."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "bad.c").write_text(CODE)
    command = [*find_toolchain("aarch64").command, "-shared", "-fPIC", "-nostdlib", "-o", "bad.so", "bad.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "bad.so"


@pytest.mark.parametrize("core", ["cortex-a72", "cortex-a76"])
def test_results_are_those_of_the_reference(artifact_for: Compile, core: str) -> None:
    artifact = load_artifact(artifact_for(core))
    assert artifact.device == "emulated"
    verify_artifact(artifact, random_images(artifact)).check()
    with pytest.raises(UsageError, match="an emulator has no latency"):
        artifact.time_steps(3, 1)


def test_an_artifact_of_this_machine_has_no_device(artifact_for: Compile) -> None:
    with pytest.raises(UsageError, match="names no device"):
        load_artifact(artifact_for("cortex-a72"), device="somewhere")
    with pytest.raises(UsageError, match="5 threads are asked for; a cortex-a72 is said to have 4 cores"):
        load_artifact(artifact_for("cortex-a72"), threads=5)


def test_a_device_that_lacks_a_feature_gets_no_code(artifact_for: Compile) -> None:
    """The emulated core says itself what it has."""
    folder = artifact_for("cortex-a76")
    manifest = Manifest.read(folder)
    program = DeviceProgram(
        folder / LIBRARY,
        [],
        [TensorType((1, 12, 12, 3))],
        core=find_core("arm", "cortex-a72"),
        address=EMULATED,
        features=manifest.features,
    )
    with pytest.raises(
        DeviceError, match="compiled for a processor with asimddp, asimdhp, which the emulated cortex-a72"
    ):
        program.step()


@pytest.mark.parametrize(
    ("core", "features"), [("cortex-a72", {"asimd"}), ("cortex-a76", {"asimd", "asimdhp", "asimddp"})]
)
def test_a_device_says_what_it_is(core: str, features: set[str]) -> None:
    with open_session(find_core("arm", core), EMULATED) as session:
        described = describe_device(session)
    assert described is not None
    assert described.features - {"fphp", "atomics"} == features


@pytest.mark.parametrize("text", ["", "hello", "hwcap 1", "hwcap x y z\n"])
def test_garbage_is_no_description(text: str) -> None:
    with pytest.raises(DeviceError, match="cannot be read"):
        read_description(text)


def test_code_that_hangs_is_given_up(bad_code: Path) -> None:
    with open_session(find_core("arm", "cortex-a72"), EMULATED) as session:
        session.upload(bad_code, 30)
        module = session.load_module("bad.so", 30)
        with pytest.raises(DeviceTimeOutError, match="a kernel has taken more than 1 s on the emulated cortex-a72"):
            session.request("a kernel", 1.0, lambda: module["spin"]())
        with pytest.raises(DeviceLostError, match="gone since an earlier failure"):
            session.request("another", 1.0, lambda: module["crash"]())


@pytest.mark.parametrize(
    ("function", "message"),
    [("crash", "SIGSEGV"), ("dots", "SIGILL, an instruction that a cortex-a72 lacks")],
)
def test_code_that_crashes_says_how(bad_code: Path, function: str, message: str) -> None:
    with open_session(find_core("arm", "cortex-a72"), EMULATED) as session:
        session.upload(bad_code, 30)
        module = session.load_module("bad.so", 30)
        with pytest.raises(DeviceCrashError, match=message):
            session.request("a kernel", 30, lambda: module[function]())


def test_the_same_instruction_runs_on_a_core_that_has_it(bad_code: Path) -> None:
    with open_session(find_core("arm", "cortex-a76"), EMULATED) as session:
        session.upload(bad_code, 30)
        module = session.load_module("bad.so", 30)
        session.request("a kernel", 30, lambda: module["dots"]())


def test_a_device_that_vanishes_is_lost() -> None:
    from nascompiler.backends.tvm_adapter.rpc_session import Session, connect_to_server

    with EmulatedServer(find_core("arm", "cortex-a72")) as server:
        connection, _ = connect_to_server("127.0.0.1", server.port, server.key, 60, probe=False)
        session = Session(connection, "it", interrupt=server.kill)
        del connection
        server.kill()
        with pytest.raises(DeviceLostError, match="the connection to it is gone"):
            session.array(np.zeros(4, np.float32), 30)
        session.close()


def test_a_library_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "not.so").write_bytes(b"nothing")
    with open_session(find_core("arm", "cortex-a72"), EMULATED) as session:
        session.upload(tmp_path / "not.so", 30)
        with pytest.raises(DeviceError, match=r"loading not\.so has failed on the emulated cortex-a72"):
            session.load_module("not.so", 30)
