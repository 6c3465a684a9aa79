"""What becomes of an architecture that was found: it is trained for good, stacked for other data, compiled, measured.

torch is imported by `training` alone, when it is asked for.
"""
