"""Studies: what a search has found out, in one SQLite file."""

from nascompiler.search.study.records import Checkpoint, FailureRecord, FinalRecord, SessionRecord, TrialRecord
from nascompiler.search.study.study import Study

__all__ = ["Checkpoint", "FailureRecord", "FinalRecord", "SessionRecord", "Study", "TrialRecord"]
