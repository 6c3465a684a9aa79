"""The `qnn` dialect: networks on quantised integers, with every operation defined to the last bit.

An integer q stands for the real number scale * (q - zero_point). Each op carries the scales and zero points it needs as
attributes, and as operands where they differ by channel, so that its meaning depends on nothing but the op itself; the
quantisation in the types says the same to the reader, and inference refuses what contradicts it.

Registering happens on import, which `nascompiler.ir.ops.OPS` does at the first look-up.
"""

from nascompiler.ir.dialects.qnn import conversion, convolution, elementwise, linear, lookup, pooling, resize

__all__ = ["conversion", "convolution", "elementwise", "linear", "lookup", "pooling", "resize"]
