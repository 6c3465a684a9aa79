"""The C header that says what an artifact contains, for `run.c`; with --flags, what the C compiler has to be told.

python examples/c_program/header.py DIR > artifact.h
python examples/c_program/header.py --flags
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from nascompiler.backends.artifact import LIBRARY, WEIGHTS
from nascompiler.backends.manifest import Manifest, TensorSpec
from nascompiler.ir.types import DType

_MOST_DIMENSIONS = 8

_DLPACK_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
"""DLPack's numbers of signed, unsigned, float and boolean types, by NumPy's letter."""

_DECLARATIONS = f"""\
#include <stdint.h>

typedef struct {{
  int rank;
  int64_t shape[{_MOST_DIMENSIONS}];
  uint8_t code, bits;
}} Tensor;
"""


def header(manifest: Manifest) -> str:
    """The header: tensors of inputs and outputs, features, threads, and what the program takes behind its inputs: all
    weights as one array of bytes, and some by themselves, with their offsets in bytes.
    """
    ends = [weight.offset + TensorSpec("", weight.shape, weight.dtype).type.bytes for weight in manifest.weights]
    alone = [weight for weight in manifest.weights if weight.is_argument]
    weights = [TensorSpec("", (max(ends, default=0),), DType.U8.value)]
    weights += [TensorSpec("", weight.shape, weight.dtype) for weight in alone]
    offsets = ", ".join(str(offset) for offset in (0, *(weight.offset for weight in alone)))
    features = ", ".join(f'"{feature}"' for feature in manifest.features)
    return "\n".join(
        [
            f"/* {manifest.name}, compiled for {manifest.target} */",
            _DECLARATIONS,
            f'#define LIBRARY "{LIBRARY}"',
            f'#define WEIGHTS_FILE "{WEIGHTS}"',
            f"#define THREADS {manifest.threads}",
            f"static const char *const FEATURES[] = {{{features}}};",
            _tensors("INPUTS", manifest.inputs),
            _tensors("OUTPUTS", manifest.outputs),
            _tensors("WEIGHTS", weights),
            f"static const int64_t OFFSETS[] = {{{offsets}}};",
            "",
        ]
    )


def _tensors(name: str, specs: Iterable[TensorSpec]) -> str:
    rows = []
    for spec in specs:
        dtype = DType(spec.dtype).numpy
        shape = ", ".join(map(str, spec.shape)) or "1"
        rows.append(f"  {{{len(spec.shape)}, {{{shape}}}, {_DLPACK_CODES[dtype.kind]}, {dtype.itemsize * 8}}},")
    return "\n".join([f"static const Tensor {name}[] = {{", *rows, "};"])


def flags() -> list[str]:
    """Include and library folders of the two libraries, and the libraries; they are found there again at run time."""
    found = []
    for package, library in (("tvm_ffi", "tvm_ffi"), ("tvm", "tvm_runtime")):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            sys.exit(f"{package} is not installed")
        folder = Path(spec.origin).parent
        found += [f"-I{folder / 'include'}", f"-L{folder / 'lib'}", f"-Wl,-rpath,{folder / 'lib'}"]
        found += ["-Wl,--no-as-needed", f"-l{library}"]  # the runtime registers its functions when it is loaded
    return found


def main(arguments: Sequence[str]) -> None:
    if list(arguments) == ["--flags"]:
        print(" ".join(flags()))
    elif len(arguments) == 1:
        print(header(Manifest.read(Path(arguments[0]))), end="")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
