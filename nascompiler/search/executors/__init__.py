"""Where trials run: in this process, or in processes of this machine."""

from nascompiler.search.executors.in_process import InProcess
from nascompiler.search.executors.local_processes import LocalProcesses

__all__ = ["InProcess", "LocalProcesses"]
