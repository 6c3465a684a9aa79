"""The repository keeps its own rules: the layout maps as promised, the pins are exact, nothing names this machine."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("ir", "passes", "backends")


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """The files under version control, relative to the root."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listing.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_are_relative_links(part):
    link = ROOT / "nascompiler" / part
    assert link.is_symlink()
    assert link.readlink() == Path("..") / part


@pytest.mark.parametrize("part", PARTS)
def test_a_part_refuses_its_bare_name(part):
    run = subprocess.run([sys.executable, "-c", f"import {part}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == f"ImportError: import nascompiler.{part}, not {part}"


def test_own_packages_have_names_that_setup_does_not_exclude():
    own = [path.name for path in (ROOT / "nascompiler").iterdir() if path.is_dir() and not path.is_symlink()]
    assert not [name for name in own if name.startswith(PARTS)]


def test_every_folder_of_code_is_a_package(committed):
    """setuptools finds only folders with an `__init__.py`; one without would be missing from the wheel."""
    folders = {path.parent for path in committed if path.suffix == ".py" and path.parts[0] in ("nascompiler", *PARTS)}
    assert not sorted(str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists())


def test_version_is_stated_once_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tree = ast.parse((ROOT / "nascompiler" / "__init__.py").read_text(encoding="utf-8"))
    versions = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "__version__" for name in node.targets)
    ]
    assert versions == [project["version"]]


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    faulty = [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin)]
    assert not faulty, "only NAME==VERSION: no ranges, options, addresses or local versions"
    return {_normal(name): version for name, version in (pin.split("==") for pin in pins)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pins_are_exact_and_cover_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {_normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted} - {"nascompiler"}
    assert not names - _pins().keys()


def test_tvm_and_its_ffi_are_the_pair_that_works():
    pins = _pins()
    assert (pins["apache-tvm"], pins["apache-tvm-ffi"]) == ("0.27.0.post1", "0.1.14.post1")


def test_no_committed_file_names_a_local_path(committed):
    local = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/\w")
    found = []
    for path in committed:
        if (ROOT / path).is_dir():
            continue  # one of the three links
        content = (ROOT / path).read_bytes()
        if b"\0" in content:
            continue
        lines = content.decode("utf-8").splitlines()
        found += [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if local.search(line)]
    assert not found


def test_no_committed_file_chooses_a_package_index(committed):
    option = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host")
    here = Path(__file__).resolve().relative_to(ROOT)
    texts = [path for path in committed if path.suffix in {"", ".txt", ".toml", ".md", ".py", ".cfg"} and path != here]
    assert not [path for path in texts if (ROOT / path).is_file() and option.search((ROOT / path).read_text("utf-8"))]


@pytest.fixture(scope="module")
def clean_copy(committed, tmp_path_factory) -> Path:
    """What a clone would hold, so that stray files of a working tree cannot help or hurt."""
    copy = tmp_path_factory.mktemp("clone")
    for path in committed:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy / path, follow_symlinks=False)
    return copy


def _build(kind: str, source: Path, target: Path) -> Path:
    script = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(target)]
    run = subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    return target / run.stdout.splitlines()[-1]


def _code(folder: Path) -> set[str]:
    """The modules of a checkout, by their path inside the installed package."""
    own = {path for path in (folder / "nascompiler").rglob("*.py") if path.relative_to(folder).parts[1] not in PARTS}
    modules = {str(path.relative_to(folder)) for path in own}
    for part in PARTS:
        modules |= {str(Path("nascompiler") / path.relative_to(folder)) for path in (folder / part).rglob("*.py")}
    return modules


@pytest.mark.slow
def test_the_wheel_holds_every_module_once_under_nascompiler(clean_copy, tmp_path):
    with zipfile.ZipFile(_build("wheel", clean_copy, tmp_path)) as wheel:
        names = wheel.namelist()
    assert len(names) == len(set(names))
    assert {name for name in names if name.endswith(".py")} == _code(clean_copy)
    assert {name.split("/")[0] for name in names} == {"nascompiler", "nascompiler-0.1.0.dist-info"}
    assert "nascompiler/py.typed" in names


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(clean_copy, tmp_path):
    with tarfile.open(_build("sdist", clean_copy, tmp_path)) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with zipfile.ZipFile(_build("wheel", unpacked, tmp_path)) as wheel:
        assert {name for name in wheel.namelist() if name.endswith(".py")} == _code(clean_copy)
