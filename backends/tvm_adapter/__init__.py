"""The one package that imports TVM. Importing it checks the installed versions first and raises DeviceError."""

import sys

from nascompiler.backends.tvm_versions import require_tvm

require_tvm()

# TVM imports torch wherever it is installed, for conversions that nothing here uses: two thirds of the time it takes.
if "torch" not in sys.modules:
    sys.modules["torch"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        import tvm  # noqa: F401
    finally:
        del sys.modules["torch"]
