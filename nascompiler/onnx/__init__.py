"""ONNX both ways: `import_onnx` reads a model into the IR, `export_onnx` and `save_onnx` write one."""

from nascompiler.onnx.errors import OnnxError, UnsupportedNode, UnsupportedNodesError
from nascompiler.onnx.exporter import export_onnx, save_onnx
from nascompiler.onnx.importer import import_onnx

__all__ = ["OnnxError", "UnsupportedNode", "UnsupportedNodesError", "export_onnx", "import_onnx", "save_onnx"]
