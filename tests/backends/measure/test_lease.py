"""One measurement at a time on a device, whoever takes it and however they end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.measure.lease import VARIABLE, device_lease, device_shared, lease_holder

HOLD = """
import sys, time
from nascompiler.backends.measure.lease import device_lease, device_shared
how = {"lease": device_lease, "share": device_shared}[sys.argv[1]]
with how("board"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def leases(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "leases"))


@pytest.fixture
def holder():
    """Starts processes that hold the board until they are told to let go."""
    started = []

    def start(how="lease"):
        process = subprocess.Popen([sys.executable, "-c", HOLD, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_never_hold_a_device_together(holder):
    process = holder()
    with pytest.raises(DeviceError, match=f"board is in use by process {process.pid}"):
        with device_lease("board", patience_s=0.1):
            pass
    with device_lease("another board", patience_s=0.1):
        pass
    process.communicate()
    with device_lease("board", patience_s=10):
        assert str(os.getpid()) in (lease_holder("board") or "")
    assert lease_holder("board") is None


def test_a_lease_ends_with_its_holder(holder):
    process = holder()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with device_lease("board", patience_s=10):
        pass
    assert lease_holder("board") is None


def test_a_thread_may_take_what_it_has_and_another_may_not():
    refused = []

    def try_it():
        try:
            with device_lease("board", patience_s=0.05):
                refused.append(False)
        except DeviceError:
            refused.append(True)

    with device_lease("board"), device_lease("board"), device_shared("board"):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    try_it()
    assert refused == [True, False]


def test_work_is_shared_and_yields_to_whoever_wants_to_measure(holder):
    one, other = holder("share"), holder("share")
    measured = threading.Event()

    def measure():
        with device_lease("board"):
            measured.set()

    thread = threading.Thread(target=measure)
    thread.start()
    time.sleep(0.1)  # it holds the gate by now; if not, what follows holds all the same
    late = subprocess.Popen([sys.executable, "-c", HOLD, "share"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    one.communicate()
    assert not measured.is_set()  # one process still works
    other.communicate()
    thread.join(timeout=30)
    assert measured.is_set()
    assert late.stdout.readline() == b"held\n"
    late.communicate()


def test_measuring_from_within_shared_work_is_refused_instead_of_waiting_forever():
    with device_shared("board"), device_shared("board"):
        with pytest.raises(DeviceError, match="shares it"), device_lease("board"):
            pass


def test_a_forked_child_does_not_keep_the_lease():
    with device_lease("board"):
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(told, b"!")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)
    try:
        with device_lease("board", patience_s=10):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DeviceError, match=f"cannot lease board.*{VARIABLE}"), device_lease("board"):
        pass
