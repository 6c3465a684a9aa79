"""The pass manager, the pattern rewriter, and every pass, one a file."""

if __name__ != "nascompiler.passes":
    raise ImportError("import nascompiler.passes, not passes")
