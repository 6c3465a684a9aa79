"""From an architecture to verified, timed code: `nc.compile(nc.load("x.onnx"), target="cpu")`.

The verbs are those of the command line. Importing this package is cheap: TVM and ONNX load when a verb needs them.
"""

__version__ = "0.1.0"

from nascompiler.api import (
    bench,
    compile,
    export,
    inspect,
    load,
    load_artifact,
    optimize,
    predict,
    quantize,
    save,
    train,
    transfer,
    tune,
    verify,
)

__all__ = [
    "__version__",
    "bench",
    "compile",
    "export",
    "inspect",
    "load",
    "load_artifact",
    "optimize",
    "predict",
    "quantize",
    "save",
    "train",
    "transfer",
    "tune",
    "verify",
]
