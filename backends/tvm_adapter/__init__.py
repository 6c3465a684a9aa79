"""The one package that imports TVM. Importing it checks the installed versions first and raises DeviceError."""

from nascompiler.backends.tvm_versions import require_tvm

require_tvm()
