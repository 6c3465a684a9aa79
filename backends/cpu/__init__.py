"""The cpu target: its dialect, the pass that assigns kernels, and the geometry that every kernel generator shares."""
