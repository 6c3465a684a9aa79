"""The graph: types, values, nodes, ops, text form, verifier, reference evaluation. Knows nothing of the rest."""

if __name__ != "nascompiler.ir":
    raise ImportError("import nascompiler.ir, not ir")

from nascompiler.ir.attributes import Attribute, SymbolRef
from nascompiler.ir.builder import Builder
from nascompiler.ir.constant import Constant
from nascompiler.ir.cost import graph_cost, node_cost
from nascompiler.ir.errors import Error, Fault, ModelError, ParseError, UsageError, VerificationError
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Choice, Graph, Node, Value, infer_all
from nascompiler.ir.ops import OPS, InferenceError, OpDef, Operand, Trait, register_op
from nascompiler.ir.text import canonical_text, fingerprint, parse, print_graph, structurally_equal
from nascompiler.ir.types import Array, DType, Quantization, TensorType
from nascompiler.ir.verify import Legality, find_faults, verify

__all__ = [
    "OPS",
    "Array",
    "Attribute",
    "Builder",
    "Choice",
    "Constant",
    "DType",
    "Error",
    "Fault",
    "Graph",
    "InferenceError",
    "Legality",
    "ModelError",
    "Node",
    "OpDef",
    "Operand",
    "ParseError",
    "Quantization",
    "SymbolRef",
    "TensorType",
    "Trait",
    "UsageError",
    "Value",
    "VerificationError",
    "canonical_text",
    "evaluate",
    "find_faults",
    "fingerprint",
    "graph_cost",
    "infer_all",
    "node_cost",
    "parse",
    "print_graph",
    "register_op",
    "structurally_equal",
    "verify",
]
