"""A TVM that would crash is refused before it is imported."""

import subprocess
import sys

import pytest

from nascompiler.backends import tvm_versions
from nascompiler.backends.errors import DeviceError


@pytest.mark.parametrize(
    ("installed", "words"),
    [
        ({"apache-tvm-ffi": "0.1.15.post2"}, "apache-tvm-ffi 0.1.15.post2, needed 0.1.14.post1"),
        ({"apache-tvm": "0.26.0"}, "apache-tvm 0.26.0, needed 0.27.0.post1"),
        ({"apache-tvm": None}, "apache-tvm is not installed"),
    ],
)
def test_a_wrong_pair_is_one_error_with_the_repair(monkeypatch, installed, words):
    def version(package):
        found = {**tvm_versions.ACCEPTED, **installed}[package]
        if found is None:
            raise tvm_versions.PackageNotFoundError(package)
        return found

    monkeypatch.setattr(tvm_versions, "version", version)
    with pytest.raises(DeviceError) as error:
        tvm_versions.require_tvm()
    assert error.value.exit_code == 5
    assert words in str(error.value)
    assert "pip install apache-tvm==0.27.0.post1 apache-tvm-ffi==0.1.14.post1" in str(error.value)


def test_the_installed_pair_is_accepted():
    tvm_versions.require_tvm()


CHECK = """
import sys, importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: "0.1.15.post2" if name == "apache-tvm-ffi" else real(name)
import nascompiler, nascompiler.backends.compile, nascompiler.backends.artifact
assert not [m for m in sys.modules if m.split(".")[0] in ("tvm", "tvm_ffi", "torch")]
try:
    import nascompiler.backends.tvm_adapter
except Exception as error:
    assert type(error).__name__ == "DeviceError"
else:
    raise SystemExit("not refused")
assert not [m for m in sys.modules if m.split(".")[0] in ("tvm", "tvm_ffi", "torch")]
"""


def test_nothing_imports_tvm_before_it_is_needed_or_when_it_is_the_wrong_one():
    subprocess.run([sys.executable, "-c", CHECK], check=True)
