"""Which proposal becomes the next network."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from nascompiler.netadapt.proposals import Proposal
from nascompiler.netadapt.records import Iteration, Start
from nascompiler.search.evaluation import Evaluation


def ranked(offers: Sequence[tuple[Proposal, Evaluation | None]], now: Iteration, start: Start, rule: str) -> list[int]:
    """The places of the proposals, the best first; of equal ones the one that saves more, then the first.

    `ratio`: the change of accuracy over what is saved (MobileNetV3, arXiv:1905.02244, section 4.2). `accuracy`: the
    accuracy (NetAdapt, arXiv:1804.03230, algorithm 1).
    """

    def score(place: int) -> tuple[float, float, int]:
        proposal, evaluation = offers[place]
        if evaluation is None or evaluation.accuracy is None:
            return -inf, 0.0, -place
        saved = saving(proposal, now, start)
        if rule == "accuracy":
            return evaluation.accuracy, saved, -place
        return (evaluation.accuracy - now.accuracy) / max(saved, 1e-9), saved, -place

    return sorted(range(len(offers)), key=score, reverse=True)


def saving(proposal: Proposal, now: Iteration, start: Start) -> float:
    """What a proposal saves, as parts of what the network took in the beginning, over all that is above its budget."""
    above = [name for name, bound in start.bounds.items() if now.values[name] > bound] or list(start.bounds)
    return sum((now.values[name] - proposal.values[name]) / start.values[name] for name in above)
