"""Where passes come from: modules, plugins that are installed, scripts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nascompiler.ir import Builder, UsageError
from nascompiler.passes import PASSES, Pass, Pipeline, load_script, register_pass, run_pipeline

PLUGIN = Path(__file__).parents[2] / "plugin"

SCRIPT = """\
from nascompiler.passes import Pass, register_pass

@register_pass
class SinToTanh(Pass):
    steps: int = 1
    def run(self, graph, context):
        for node in list(graph.nodes)[: self.steps]:
            if node.op.name == "nn.exp":
                graph.replace_all_uses(node.result, graph.insert("nn.tanh", node.operands, before=node).result)
"""


def run_python(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(path)}, capture_output=True, text=True, timeout=120
    )


def test_built_in_passes_are_found_by_name():
    assert {"canonicalize", "fold-constants", "eliminate-dead-code"} <= set(PASSES)
    assert list(PASSES) == sorted(PASSES)
    assert PASSES.find("fold-constants") is PASSES["fold-constants"]


def test_an_unknown_name_comes_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown pass 'canonicalise' \(did you mean canonicalize\?\); accepted: .*"):
        PASSES.find("canonicalise")


def test_names_come_from_the_class_or_are_stated(registry):
    @register_pass
    class FoldBNAway(Pass):
        def run(self, graph, context): ...

    @register_pass
    class Other(Pass):
        name = "my-own-name"

        def run(self, graph, context): ...

    assert PASSES["fold-bn-away"] is FoldBNAway
    assert PASSES["my-own-name"] is Other


def test_a_name_clash_is_an_error(registry):
    @register_pass
    class First(Pass):
        name = "twice"

        def run(self, graph, context): ...

    with pytest.raises(UsageError, match=r"two passes named 'twice': .*First and .*Second; rename one"):

        @register_pass
        class Second(Pass):
            name = "twice"

            def run(self, graph, context): ...

    assert PASSES["twice"] is First


def test_only_passes_are_registered(registry):
    with pytest.raises(UsageError, match="is no pass: derive it from"):

        @register_pass
        class NoPass:
            pass


def test_a_script_of_ten_lines_runs_by_name(registry, tmp_path):
    assert len(SCRIPT.splitlines()) <= 10
    path = tmp_path / "my_passes.py"
    path.write_text(SCRIPT)
    load_script(path)
    builder = Builder()
    graph = builder.outputs(y=builder.nn.exp(builder.input("x", (2,))))
    result = run_pipeline(graph, "sin-to-tanh{steps=3},eliminate-dead-code")
    assert [node.op.name for node in result.nodes] == ["nn.tanh"]
    assert str(Pipeline.parse("sin-to-tanh{steps=1}")) == "sin-to-tanh"
    load_script(path)  # again, after an edit, is no clash


def test_two_scripts_of_one_file_name_clash(registry, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my_passes.py").write_text(SCRIPT)
    load_script(tmp_path / "a" / "my_passes.py")
    with pytest.raises(UsageError, match="two passes named 'sin-to-tanh'"):
        load_script(tmp_path / "b" / "my_passes.py")


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = 1\ny = x +\n", r"broken\.py:2: SyntaxError"),
        ("\n\ndef f():\n    return 1 / 0\n\nf()\n", r"broken\.py:4: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", r"broken\.py:1: ModuleNotFoundError"),
        (SCRIPT.replace("SinToTanh", "Canonicalize"), "two passes named 'canonicalize'"),
        (SCRIPT.replace("steps: int = 1", "steps: int"), None),
    ],
)
def test_errors_of_scripts_name_file_and_line(registry, tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    if message is None:
        load_script(path)
        with pytest.raises(UsageError, match="pass sin-to-tanh needs the option steps"):
            Pipeline.parse("sin-to-tanh")
        return
    with pytest.raises(UsageError, match=message):
        load_script(path)


def test_scripts_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_script(tmp_path / "none.py")
    (tmp_path / "passes.txt").write_text(SCRIPT)
    with pytest.raises(UsageError, match=r"not a Python file \(\.py\)"):
        load_script(tmp_path / "passes.txt")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which the plugin has been installed with pip."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(PLUGIN, source)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*command, "--target", target, source], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


USE = """
from nascompiler.ir import Builder, parse, print_graph
from nascompiler.passes import PASSES, run_pipeline
builder = Builder()
x = builder.input("x", (2,))
graph = run_pipeline(builder.outputs(y=builder.nn.add(x, x)), "use-plugin-double")
print(print_graph(graph))
"""


def test_an_installed_plugin_brings_a_pass_and_an_op(installed):
    done = run_python(USE, installed)
    assert done.returncode == 0, done.stderr
    assert "%0 = plugin.double(%x) : f32[2]" in done.stdout


def test_text_with_an_op_of_a_plugin_is_read_without_naming_its_passes(installed):
    code = """
from nascompiler.ir import parse, verify
text = "nir 1\\ngraph @g(%x: f32[2]) {\\n %y = plugin.double(%x) : f32[2]\\n return y=%y\\n}"
verify(parse(text))
"""
    done = run_python(code, installed)
    assert done.returncode == 0, done.stderr


def fake_plugin(folder: Path, code: str) -> Path:
    """What pip would have left of a package with one module."""
    info = folder / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nascompiler.passes]\nother = other_plugin\n")
    (folder / "other_plugin.py").write_text(code)
    return folder


@pytest.mark.parametrize(
    "code, message",
    [
        (SCRIPT.replace("SinToTanh", "FoldConstants"), "UsageError: two passes named 'fold-constants'"),
        ("1 / 0", "UsageError: the plugin 'other' (other_plugin) cannot be loaded: division by zero"),
    ],
)
def test_a_plugin_that_clashes_or_fails_is_an_error(tmp_path, code, message):
    done = run_python("from nascompiler.passes import PASSES\nlen(PASSES)", fake_plugin(tmp_path, code))
    assert done.returncode != 0
    assert message in done.stderr
