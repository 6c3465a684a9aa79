"""The command line: one file a command; every command is a thin layer over `nascompiler.api`."""

from nascompiler.cli.app import main

__all__ = ["main"]
