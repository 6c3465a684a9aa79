"""What an emitter is: a function that adds the ONNX nodes of one node of ours and sets the forms of its results."""

from __future__ import annotations

from collections.abc import Callable

from nascompiler.ir.graph import Node
from nascompiler.onnx.emission import Emitter

Emit = Callable[[Emitter, Node], None]
EmitTable = dict[str, Emit]
