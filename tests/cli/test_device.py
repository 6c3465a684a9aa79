"""`nascompiler device`: what it lists, checks and refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from nascompiler.backends.devices.emulator import missing_pieces
from nascompiler.backends.devices.runtime import VARIABLE
from nascompiler.cli import main

MISSING = "; ".join(missing_pieces())


def run(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_list_has_every_core(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, ["device", "list", "--json"])
    rows = {row["device"]: row for row in json.loads(out)}
    assert code == 0
    assert {"arm:cortex-a53", "arm:cortex-a72", "arm:neoverse-n1"} <= set(rows)
    assert rows["arm:cortex-a72"]["state"] == (MISSING or "ready")


def test_list_tells_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    _, out, _ = run(capsys, ["device", "list", "--json"])
    assert all("nascompiler device setup" in row["state"] for row in json.loads(out))
    code, out, _ = run(capsys, ["device", "doctor", "--json"])
    assert code == 5
    (finding,) = json.loads(out)
    assert "nascompiler device setup" in finding["remedy"]


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_doctor_checks_an_emulated_core(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, ["device", "doctor", "arm:cortex-a76", "--json"])
    findings = {finding["piece"]: finding for finding in json.loads(out)}
    assert code == 0
    assert list(findings) == ["emulator", "device", "runtime", "features", "clock", "kernel"]
    assert "asimddp" in findings["features"]["found"]
    assert findings["kernel"]["found"].startswith("verified on 8 images")


def test_doctor_of_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, ["device", "doctor", "--device", "127.0.0.1:1", "--json"])
    assert code == 5
    assert "there is no device at 127.0.0.1:1" in json.loads(out)[-1]["remedy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--address", "0.0.0.0"], "other machines may reach it; add --expose"),
        (["serve", "--address", "0.0.0.0", "--expose"], "choose a --key"),
        (["serve", "--tracker", "farm:9190"], "say by --key what kind of device this is"),
        (["serve", "cpu"], "target cpu is this machine"),
        (["doctor", "arm:cortex-a9"], "unknown arm core 'cortex-a9'"),
        (["doctor", "--device", "pi"], "'pi' names no device; accepted: emulated, HOST:PORT"),
    ],
)
def test_what_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    code, _, err = run(capsys, ["device", *arguments])
    assert code == 2
    assert message in err
