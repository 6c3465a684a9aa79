"""Cores of ARM targets: those that ship, those of users, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nascompiler.backends.cores import VARIABLE, core_names, find_core
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.target import describe, parse_target, target_names
from nascompiler.ir import UsageError

MINE = """
format = 1
family = "arm"
name = "my-board"
like = "cortex-a72"
description = "mine"
clock_hz = 1_800_000_000
cpus = [2, 3]

[caches]
l2 = { bytes = 2_097_152, ways = 16 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "isa", "dots"),
    [
        ("cortex-a53", "neon", ()),
        ("cortex-a55", "neon_dotprod", ("dotprod",)),
        ("cortex-a72", "neon", ()),
        ("cortex-a76", "neon_dotprod", ("dotprod",)),
        ("cortex-x1", "neon_dotprod", ("dotprod",)),
        ("neoverse-n1", "neon_dotprod", ("dotprod",)),
        ("neoverse-v1", "neon_i8mm", ("i8mm", "dotprod")),
    ],
)
def test_cores_that_ship(name: str, isa: str, dots: tuple[str, ...]) -> None:
    target = parse_target(f"arm:{name}")
    assert (target.kind, target.isa.name, target.isa.dots) == ("arm", isa, dots)
    assert (target.isa.architecture, target.isa.processor) == ("aarch64", name)
    assert target.core is not None
    assert target.core.model.origin
    assert target.core.clock_hz > 10**9
    assert f"arm:{name}" in target_names()
    assert describe(f"arm:{name}")["description"] == target.core.description
    assert parse_target(str(target)) == target


def test_a_board_names_one_set_of_cores() -> None:
    big, little = parse_target("arm:rk3588-big"), parse_target("arm:rk3588-little")
    assert big.core is not None
    assert little.core is not None
    assert (big.core.cpus, big.core.cores, big.isa.processor) == ((4, 5, 6, 7), 4, "cortex-a76")
    assert (little.core.cpus, little.core.cores, little.isa.processor) == ((0, 1, 2, 3), 4, "cortex-a55")
    assert big.fingerprint != parse_target("arm:cortex-a76").fingerprint


def test_less_than_the_core_has_can_be_asked_for() -> None:
    assert parse_target("arm:cortex-a76{isa=neon}").isa.dots == ()
    with pytest.raises(DeviceError, match="arm:cortex-a72 lacks neon_dotprod"):
        parse_target("arm:cortex-a72{isa=neon_dotprod}")


def test_an_unknown_core_is_one_error_that_lists_all() -> None:
    with pytest.raises(UsageError, match=r"unknown arm core 'cortex-a75' \(did you mean cortex-a7.*neoverse-n1"):
        parse_target("arm:cortex-a75")
    with pytest.raises(UsageError, match="unknown target 'arm'; accepted: arm:cortex-a53"):
        parse_target("arm")


def test_a_user_adds_a_core(folder: Path) -> None:
    (folder / "mine.toml").write_text(MINE)
    target = parse_target("arm:my-board")
    assert target.core is not None
    assert (target.core.cores, target.core.clock_hz, target.host.l2_bytes) == (2, 1_800_000_000, 2 << 20)
    assert target.host.l1_data_bytes == find_core("arm", "cortex-a72").l1_data.bytes
    assert "my-board" in core_names("arm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("clock_hz = 1_800_000_000", 'clock_hz = "fast"'), "clock_hz is 'fast', which must be a positive integer"),
        (("format = 1", "format = 2"), "has format 2; this version reads 1"),
        (('like = "cortex-a72"', 'like = "cortex-a720"'), "like is 'cortex-a720'; accepted: cortex-a53"),
        (('like = "cortex-a72"', ""), "features is None, which must be a list of texts; .*processor is None"),
        (('"my-board"', '"cortex-a53"'), "arm:cortex-a53 is in cortex-a53.toml already"),
        (("cpus", "cups"), "unknown cups"),
        (("[caches]", "[caches"), "cannot be read"),
        (('family = "arm"', 'family = "mips"'), "family is 'mips'; accepted: arm"),
    ],
)
def test_a_file_that_is_wrong_is_one_error(folder: Path, change: tuple[str, str], message: str) -> None:
    (folder / "mine.toml").write_text(MINE.replace(*change))
    with pytest.raises(UsageError, match=message):
        parse_target("arm:my-board")


def test_a_folder_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="which is no folder"):
        parse_target("arm:cortex-a72")
