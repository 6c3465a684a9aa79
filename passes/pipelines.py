"""Pipelines that several parts of the project run, each entry with why it stands where it stands."""

from __future__ import annotations

NETWORK = (
    # Shapes that the model computes become constants, and with them every size is known.
    "fixpoint(canonicalize,fold-constants,eliminate-dead-code)",
    # Transposes of an NCHW model cancel; what is left stands at its inputs and outputs.
    "propagate-layout",
    # Transposed weights become constants, which layers take batch norms, scales and shifts into. Axes are in NHWC order
    # then and layers plain, as the patterns of written-out activations expect; behind an activation that is whole,
    # more can be folded into the next layer.
    "fold-constants,fixpoint(fold-batch-norm,recognise-activations)",
    # Sequences become steps, which TVM can fuse.
    "unroll-lstm",
    # Files of quantised networks hold float ops between dequantize and quantize, with weights that are integers.
    "fake-quantization-to-integer",
    # The same work is done once, and nothing dead is compiled.
    "fixpoint(canonicalize,fold-constants,eliminate-common-subexpressions,eliminate-dead-code)",
)
"""What is done to every network, whatever its target, and before it is quantised."""
