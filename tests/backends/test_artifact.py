"""Artifacts: what they hold, what they refuse, and that nothing untrusted runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends import artifact as artifact_module
from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.cache import cache_folder
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import detect_host
from nascompiler.backends.manifest import Manifest, file_hash
from nascompiler.ir import Graph, ModelError, UsageError, canonical_text, evaluate
from nascompiler.ir.builder import Builder
from nascompiler.ir.errors import VerificationError
from nascompiler.ir.types import DType
from tests.backends.replay import assert_close


def network() -> Graph:
    generator = np.random.default_rng(0)

    def weight(*shape: int):
        return builder.constant(generator.standard_normal(shape).astype(np.float32))

    builder = Builder("small")
    nn = builder.nn
    image = builder.input("image", (1, 9, 9, 3))
    scale = builder.input("scale", (1,))
    y = nn.conv2d(image, weight(3, 3, 3, 20), weight(20), strides=(2, 2), name="stem")
    y = nn.mul(nn.hard_swish(y, name="swish"), scale, name="scaled")
    y = nn.linear(nn.reshape(y, shape=(1, -1)), weight(320, 5), name="head")
    return builder.outputs(scores=nn.softmax(y, name="scores"), top=nn.argmax(y, axis=1), image=image)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    return compile_graph(network(), "cpu", tmp_path_factory.mktemp("artifact") / "net").folder


@pytest.fixture
def copy(compiled, tmp_path) -> Path:
    """An artifact to damage."""
    return Path(shutil.copytree(compiled, tmp_path / "copy"))


def inputs(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    image = generator.standard_normal((1, 9, 9, 3)).astype(np.float32)
    return {"image": image, "scale": np.asarray([0.5], np.float32)}


@pytest.mark.parametrize("threads", [1, 2])
def test_it_computes_what_the_graph_means(compiled, threads):
    artifact = load_artifact(compiled, threads=threads)
    assert artifact.threads == threads
    for seed in range(3):
        results = artifact.run(inputs(seed))
        expected = evaluate(network(), inputs(seed))
        assert list(results) == ["scores", "top", "image"]
        for name, array in expected.items():
            assert_close(results[name], array, name)


def test_serving_needs_neither_the_compiler_nor_torch(compiled):
    program = f"""
import sys
import numpy as np
from nascompiler.backends.artifact import load_artifact
artifact = load_artifact({str(compiled)!r})
results = artifact.run({{"image": np.ones((1, 9, 9, 3), np.float32), "scale": np.ones(1, np.float32)}})
assert abs(results["scores"].sum() - 1) < 1e-5
found = {{"tvm", "torch", "numba", "llvmlite", "onnx"}} & set(sys.modules)
assert not found, found
import tvm  # may come later: the same runtime library
assert len(artifact.profile()[0]) == len(artifact.manifest.calls)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_results_stay_when_it_runs_again(compiled):
    artifact = load_artifact(compiled)
    first = artifact.run(inputs(0))
    kept = {name: array.copy() for name, array in first.items()}
    artifact.run(inputs(1))
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


def test_it_holds_the_graph_before_and_after_the_placement_and_how_it_was_made(compiled):
    artifact = load_artifact(compiled)
    assert canonical_text(artifact.source_graph()) == canonical_text(network())
    assert "cpu.conv2d" in (compiled / "after.nir").read_text()
    assert {"node", "op", "unit", "kernel", "reason"} == set(artifact.placement()[0])
    manifest = artifact.manifest
    assert manifest.pipeline.endswith("assign-kernels")
    assert manifest.versions["apache-tvm"] == "0.27.0.post1"
    assert set(manifest.files) == {p.name for p in compiled.iterdir()} - {"manifest.json"}
    assert [t.shape for t in manifest.inputs] == [(1, 9, 9, 3), (1,)]
    assert all(weight.offset % 64 == 0 for weight in manifest.weights)
    code = (compiled / "model.so").read_bytes()
    weight = network().constants[0].array
    assert weight is not None
    assert weight.tobytes()[:64] not in code


def test_every_call_is_timed_under_the_names_of_its_nodes(compiled):
    artifact = load_artifact(compiled)
    artifact.prepare(inputs())
    artifact.profile()
    rows, total = artifact.profile()
    assert [row.name for row in rows if row.op.startswith("cpu.")] == ["swish", "head", "scores"]
    assert any("scaled" in row.name.split("+") for row in rows)
    assert all(row.ns >= 0 for row in rows)
    assert 0 < sum(row.ns for row in rows) < total
    convolution = rows[0]
    assert convolution.macs == 16 * 20 * 27
    assert convolution.bytes > 0
    assert_close(artifact.results()["scores"], evaluate(network(), inputs())["scores"], "after profiling")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": None}, r"input 'image' \(f32\[1,9,9,3\]\) is missing"),
        ({"picture": np.zeros(1)}, "no input 'picture'; inputs: image or scale"),
        ({"image": np.zeros((1, 9, 9), np.float32)}, r"input 'image' is f32\[1,9,9\]; it must be f32\[1,9,9,3\]"),
        ({"scale": np.zeros(1)}, r"input 'scale' is f64\[1\]; it must be f32\[1\]"),
        ({"scale": np.asarray(["a"])}, "input 'scale' is"),
    ],
)
def test_inputs_that_do_not_fit_are_one_clear_error(compiled, changed, message):
    given = {name: array for name, array in {**inputs(), **changed}.items() if array is not None}
    with pytest.raises(UsageError, match=message):
        load_artifact(compiled).run(given)


def test_more_threads_than_there_are_is_an_error(compiled):
    with pytest.raises(UsageError, match="1000 threads"):
        load_artifact(compiled, threads=1000)
    with pytest.raises(UsageError, match="0 threads"):
        load_artifact(compiled, threads=0)


CANARY = """
#include <stdio.h>
__attribute__((constructor)) static void sing(void) { FILE *f = fopen("%s", "w"); if (f) fclose(f); }
"""


def test_a_library_that_was_changed_never_runs(copy, tmp_path):
    song = tmp_path / "song"
    source = tmp_path / "canary.c"
    source.write_text(CANARY % song)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", copy / "model.so", source], check=True)
    with pytest.raises(ModelError, match=r"model\.so is not what was compiled"):
        load_artifact(copy)
    assert not song.exists()


@pytest.mark.parametrize("name", ["model.so", "weights.bin", "manifest.json"])
def test_a_missing_or_truncated_file_is_refused(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=name):
        load_artifact(copy)
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_artifact(copy)


def _edit(folder: Path, **changes: object) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**data, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [{"offset": 1 << 40, "shape": [4], "dtype": "f32"}]},
        {"weights": [{"offset": 4, "shape": [4], "dtype": "f32"}]},
        {"weights": [{"offset": 0, "shape": [-4], "dtype": "f32"}]},
        {"inputs": [{"name": "x", "shape": [1], "dtype": "f33"}]},
        {"format": 99},
        {"files": {}},
        {"calls": 3},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_manifest_that_makes_no_sense_is_refused(copy, changes):
    _edit(copy, **changes)
    with pytest.raises(ModelError):
        load_artifact(copy)


def test_code_for_another_processor_is_refused(copy, monkeypatch):
    _edit(copy, features=["avx1024"])
    with pytest.raises(DeviceError, match="avx1024"):
        load_artifact(copy)
    other = replace(detect_host(), architecture="riscv64")
    monkeypatch.setattr(artifact_module, "detect_host", lambda: other)
    with pytest.raises(DeviceError, match="this machine is riscv64"):
        load_artifact(copy)


def test_the_source_graph_is_checked_too(copy):
    (copy / "before.nir").write_text("nir 1\n")
    with pytest.raises(ModelError, match=r"before\.nir"):
        load_artifact(copy).source_graph()


def test_a_folder_that_exists_is_kept_unless_it_may_be_replaced(compiled, tmp_path):
    folder = tmp_path / "out"
    compile_graph(network(), "cpu", folder)
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    with pytest.raises(UsageError, match="exists already"):
        compile_graph(network(), "cpu", folder)
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp
    compile_graph(network(), "cpu", folder, overwrite=True)
    load_artifact(folder).run(inputs())

    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="no artifact"):
        compile_graph(network(), "cpu", precious, overwrite=True)
    assert (precious / "thesis.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "precious"]


def test_a_failure_leaves_nothing_behind(tmp_path):
    builder = Builder("bad")
    x = builder.input("x", (2,), DType.I32)
    y = builder.nn.pow(x, builder.nn.pow(x, x))
    with pytest.raises(VerificationError, match=r"2 fault\(s\)") as error:
        compile_graph(builder.outputs(y=y), "cpu", tmp_path / "out")
    assert error.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_open_sizes_are_refused(tmp_path):
    builder = Builder("open")
    y = builder.nn.relu(builder.input("x", ("N", 3)))
    with pytest.raises(UsageError, match="static-shapes"):
        compile_graph(builder.outputs(y=y), "cpu", tmp_path / "out")


def test_equal_kernels_are_compiled_once_and_kept(tmp_path):
    generator = np.random.default_rng(3)
    builder = Builder("twins")
    x = builder.input("x", (1, 5, 5, 6))
    for _ in range(3):
        weight = generator.standard_normal((1, 1, 6, 6)).astype(np.float32)
        bias = generator.standard_normal(6).astype(np.float32)
        x = builder.nn.exp(builder.nn.conv2d(x, builder.constant(weight), builder.constant(bias), activation="sigmoid"))
    graph = builder.outputs(y=x)
    first = compile_graph(graph, "cpu", tmp_path / "a")
    assert (first.kernels, first.kernels_compiled) == (2, 2)
    again = compile_graph(graph, "cpu", tmp_path / "b")
    assert (again.kernels, again.kernels_compiled) == (2, 0)
    assert not list(cache_folder().glob("**/.writing-*"))
    given = {"x": generator.standard_normal((1, 5, 5, 6)).astype(np.float32)}
    assert_close(load_artifact(tmp_path / "b").run(given)["y"], evaluate(graph, given)["y"], "y")


def test_the_same_graph_makes_the_same_artifact(tmp_path):
    names = ("weights.bin", "before.nir", "after.nir", "placement.json")
    for name in ("a", "b"):
        compile_graph(network(), "cpu", tmp_path / name)
    for file in names:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert Manifest.read(tmp_path / "a").calls == Manifest.read(tmp_path / "b").calls
    assert file_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
