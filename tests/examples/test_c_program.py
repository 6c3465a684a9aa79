"""An artifact runs without Python: the C program of the examples against the same artifact loaded here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nascompiler import api

EXAMPLE = Path(__file__).parents[2] / "examples" / "c_program"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "net"
    api.compile(api.load("mobilenet-v3-small", width=0.35, resolution=64), "cpu", folder)
    return folder


def _build(artifact: Path, folder: Path) -> Path:
    script = [sys.executable, str(EXAMPLE / "header.py")]
    header = subprocess.run([*script, str(artifact)], capture_output=True, text=True, check=True).stdout
    (folder / "artifact.h").write_text(header)
    flags = subprocess.run([*script, "--flags"], capture_output=True, text=True, check=True).stdout.split()
    program = folder / "run"
    strict = ["-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *strict, f"-I{folder}", str(EXAMPLE / "run.c"), "-o", str(program), *flags], check=True)
    return program


def test_a_c_program_runs_an_artifact(artifact: Path, tmp_path: Path) -> None:
    program = _build(artifact, tmp_path)
    loaded = api.load_artifact(artifact)
    (spec,) = loaded.inputs
    x = np.random.default_rng(0).standard_normal(spec.shape).astype(np.float32)
    x.tofile(tmp_path / "x.bin")

    subprocess.run([program, artifact, tmp_path / "x.bin", tmp_path / "y.bin"], check=True, env={})

    (expected,) = loaded.run({spec.name: x}).values()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y.bin", np.float32).reshape(expected.shape), expected)
    for binary in (program, artifact / "model.so"):
        needed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
        assert "libpython" not in needed
        symbols = subprocess.run(["nm", "-D", "--undefined-only", binary], capture_output=True, text=True, check=True)
        assert " Py" not in symbols.stdout


def test_it_refuses_a_processor_without_the_features(artifact: Path, tmp_path: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps({**manifest, "features": [*manifest["features"], "avx9000"]}))
    program = _build(other, tmp_path)
    done = subprocess.run([program, artifact, "x", "y"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "lacks avx9000" in done.stderr
