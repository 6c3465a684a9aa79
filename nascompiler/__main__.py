"""`python -m nascompiler` is the command line."""

from nascompiler.cli import main

main()
