"""Quantising a float network in steps, each of which can be looked at: `passes.quantize` runs them all.

prepare -> plan -> calibrate -> choose parameters -> insert fake quantisation -> fake-quantization-to-integer
"""
