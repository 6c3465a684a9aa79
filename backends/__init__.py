"""Targets as data, kernels, lowering, artifacts, measuring."""

if __name__ != "nascompiler.backends":
    raise ImportError("import nascompiler.backends, not backends")
