"""The one package that imports TVM. Importing it checks the installed versions first and raises DeviceError."""

from nascompiler.backends.tvm_versions import require_tvm, without_torch

require_tvm()

with without_torch():
    import tvm  # noqa: F401
