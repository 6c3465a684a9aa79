"""The graph: types, values, nodes, ops, text form, verifier, reference evaluation. Knows nothing of the rest."""

if __name__ != "nascompiler.ir":
    raise ImportError("import nascompiler.ir, not ir")
