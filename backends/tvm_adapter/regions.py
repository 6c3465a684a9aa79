"""Regions of the TPU in TVM: composite functions, which Relax's RunCodegen passes to our compiler.

What RunCodegen gets back for a region is a few lines of C, which call the function of the region's name that whoever
runs the program has registered (`nascompiler.backends.tvm_runtime.regions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm_ffi
from tvm import relax

from nascompiler.backends.tvm_runtime.regions import PREFIX
from nascompiler.ir.graph import Graph
from nascompiler.ir.types import TensorType

CODEGEN = "nascompiler_tpu"
"""The name under which TVM finds our compiler."""

REGION = "tpu.region"
"""The op that stands for a region in the host's graph."""

_SOURCE = r"""
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef struct { const char *data; size_t size; } Bytes;
typedef struct { int32_t type; int32_t padding; int64_t value; } Any;
extern int TVMFFIFunctionGetGlobal(const Bytes *name, void **result);
extern int TVMFFIFunctionCall(void *function, Any *arguments, int32_t count, Any *result);
extern int TVMFFIObjectDecRef(void *object);
extern void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message);
int __tvm_ffi_SYMBOL(void *self, Any *arguments, int32_t count, Any *result) {
  static const char name[] = "PREFIXSYMBOL";
  Bytes text = {name, sizeof(name) - 1};
  void *function = NULL;
  int status = TVMFFIFunctionGetGlobal(&text, &function);
  if (status) return status;
  if (!function) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", "the TPU program SYMBOL is not loaded; nascompiler loads artifacts");
    return -1;
  }
  result->type = 0;
  result->value = 0;
  status = TVMFFIFunctionCall(function, arguments, count, result);
  TVMFFIObjectDecRef(function);
  return status;
}
#ifdef __cplusplus
}
#endif
"""


@dataclass(frozen=True)
class RegionCode:
    """A region of a program: the graph it computes, and what compiles it when TVM asks for it."""

    graph: Graph
    compile: Callable[[], None]


def composite(symbol: str, graph: Graph) -> Any:
    """The function that TVM passes to our compiler: the ops of the region by name, on its activations.

    Weights do not appear: they stand in the TPU's own memory.
    """
    builder = relax.BlockBuilder()
    values: dict[Any, Any] = {v: relax.Var(f"x{i}", _type(v.type)) for i, v in enumerate(graph.inputs)}
    with builder.function(symbol, list(values.values()), private=True):
        with builder.dataflow():
            for node in graph.nodes:
                given = [values[v] for v in node.operands if not v.is_constant]
                types = [_type(v.type) for v in node.results]
                call = relax.call_dps_packed(node.op.name, given, out_ty=types if len(types) > 1 else types[0])
                made = builder.emit(call)
                for index, value in enumerate(node.results):
                    single = len(types) == 1
                    values[value] = made if single else builder.emit(relax.TupleGetItem(made, index))
            outputs = [values[v] for v in graph.outputs]
            result = builder.emit_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
        builder.emit_func_output(result)
    function = builder.get()[symbol]
    return function.with_attrs({"Codegen": CODEGEN, "Composite": f"{CODEGEN}.region", "global_symbol": symbol})


def run_codegen(module: Any, regions: Mapping[str, RegionCode]) -> tuple[Any, list[Any]]:
    """Let TVM pass the composite functions of a module to our compiler; gives the module that calls what it made."""

    def compile_regions(functions: Sequence[Any], options: Any, constant_names: Any) -> list[Any]:
        return [_stub(str(function.attrs["global_symbol"]), regions) for function in functions]

    tvm_ffi.register_global_func(f"relax.ext.{CODEGEN}", compile_regions, override=True)
    try:
        made = relax.transform.RunCodegen()(module)
    finally:
        tvm_ffi.registry.remove_global_func(f"relax.ext.{CODEGEN}")
    external = list(made.attrs["external_mods"]) if made.attrs and "external_mods" in made.attrs else []
    return made, external


def _stub(symbol: str, regions: Mapping[str, RegionCode]) -> Any:
    regions[symbol].compile()
    source = _SOURCE.replace("SYMBOL", symbol).replace("PREFIX", PREFIX)
    return tvm_ffi.get_global_func("runtime.CSourceModuleCreate")(source, "c", [symbol], [])


def _type(type: TensorType) -> Any:
    return relax.TensorType(type.static_shape, str(type.dtype.numpy))
