"""Kernels written in TVM's TIR, by the op of the cpu dialect they implement."""
