"""The errors that reach a user. Each says what was wrong, where, and what would be accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class Error(Exception):
    """Base of every error of ours. The command line prints it as one message and exits with `exit_code`."""

    exit_code = 1


class UsageError(Error):
    """An option, name or argument that we do not know or cannot accept."""

    exit_code = 2


class ModelError(Error):
    """A model that is invalid or that we do not support; every reason is listed."""

    exit_code = 3


class ParseError(ModelError):
    """Text that is not valid IR. The message starts with `file:line:column`."""

    def __init__(self, message: str, *, file: str = "<text>", line: int = 0, column: int = 0) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.message, self.file, self.line, self.column = message, file, line, column


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a graph.

    `where` names the node or value as it prints, `origin` where it came from (an ONNX node, a cell), if known.
    """

    where: str
    message: str
    origin: str = ""

    def __str__(self) -> str:
        came_from = f" (from {self.origin})" if self.origin else ""
        return f"{self.where}{came_from}: {self.message}"


class VerificationError(ModelError):
    """A graph that breaks the rules of the IR; carries every fault, not just the first."""

    SHOWN = 50

    def __init__(self, faults: Sequence[Fault], *, title: str = "the graph is not valid") -> None:
        self.faults = tuple(faults)
        shown = [f"  {fault}" for fault in self.faults[: self.SHOWN]]
        if len(self.faults) > self.SHOWN:
            shown.append(f"  ... and {len(self.faults) - self.SHOWN} more")
        super().__init__("\n".join([f"{title}: {len(self.faults)} fault(s)", *shown]))


MOST_LISTED = 40
"""Of more names than this an error lists only similar ones."""


def choices_text(accepted: Iterable[object]) -> str:
    """`a, b or c`, for messages that say what would be accepted."""
    names = [str(name) for name in accepted]
    if len(names) <= 1:
        return "".join(names) or "nothing"
    return f"{', '.join(names[:-1])} or {names[-1]}"


def unknown(kind: str, name: str, accepted: Iterable[str]) -> UsageError:
    """The error for a name that is not among the `accepted` ones, with the nearest as a hint."""
    names = sorted(accepted)
    near = get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    if len(names) > MOST_LISTED:
        similar = get_close_matches(name, names, n=8, cutoff=0.3)
        listed = f"{len(names)} names" + (f", among them {', '.join(similar)}" if similar else "")
    else:
        listed = choices_text(names)
    return UsageError(f"unknown {kind} {name!r}{hint}; accepted: {listed}")
