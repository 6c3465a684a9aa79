from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nascompiler.cli import app


def test_no_command_prints_the_help(cli: Any) -> None:
    result = cli()
    assert result.code == 0
    assert "compile" in result.out


def test_unknown_command_and_option_are_usage_errors(cli: Any) -> None:
    assert cli("fly").code == 2
    result = cli("inspect", "--fly", "x.onnx")
    assert result.code == 2
    assert "--fly" in result.err


def test_version(cli: Any) -> None:
    assert cli("--version").out.startswith("nascompiler ")


def test_internal_errors_show_no_traceback_unless_debug(
    cli: Any, small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nascompiler import api

    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(api, "load", broken)
    result = cli("inspect", small_onnx)
    assert result.code == 1
    assert "internal error: ZeroDivisionError: oops" in result.err
    assert "Traceback" not in result.err
    assert "Traceback" in cli("inspect", small_onnx, "--debug").err


def test_interruption_has_its_own_code(cli: Any, small_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nascompiler import api

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "load", interrupted)
    assert cli("inspect", small_onnx).code == app.INTERRUPTED


def test_start_up_imports_neither_tvm_nor_torch_nor_onnx() -> None:
    heavy = {"tvm", "torch", "onnx", "numba"}
    code = f"import sys, nascompiler, nascompiler.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
