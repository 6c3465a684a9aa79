"""Which of the ways to compute a kernel call is taken: the fastest that was measured, or the default."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from nascompiler.backends.cpu.implementation import Implementation, candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.store import Measurements, Tuning, known_measurements
from nascompiler.backends.target import Target
from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.ir.evaluate import decomposition
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.ops import OPS
from nascompiler.passes.infrastructure.rewriter import Rewriter

TEMPLATE = "template"
"""The variant that is a loop nest written in TIR, see tvm_adapter.templates."""

TVM = "tvm"
"""The variant that is the call's definition in nn, fused and scheduled by TVM."""

METASCHEDULE = "metaschedule"
"""The variant that is the call's definition in nn by a schedule that TVM's MetaSchedule has found for this call."""

SEPARATE = "separate kernels"
"""The variant of a call that fuses others: those, each by its own variant."""

TEMPLATED = frozenset({"cpu.conv2d", "cpu.depthwise_conv2d", "cpu.linear"})
"""The ops that have a template."""


@dataclass(frozen=True)
class Choice:
    """The variant that computes a call and why it is taken.

    Only kernels of ours have an implementation; `schedule` is the text of that of METASCHEDULE.
    """

    variant: str
    implementation: Implementation | None
    reason: str
    schedule: str = ""


Choices = Mapping[str, Choice]
"""By the text of the call."""


def variants(call: KernelCall, target: Target, tuning: Tuning | None = None) -> dict[str, Implementation | None]:
    """All ways to compute a call by name, the default first; those that are no kernels of ours have none here.

    METASCHEDULE is among them when `tuning` has a schedule for what the call's definition is today.
    """
    found: dict[str, Implementation | None] = {}
    for made in candidates(call, target):
        found.setdefault(made.variant, made)
    if call.op in TEMPLATED:
        found[TEMPLATE] = None
    op = OPS[call.op]
    if _fuses_others(call):
        found[SEPARATE] = None
    elif not found or op.dialect != "cpu" or op.decompose is not None:
        found[TVM] = None
    if tuning is not None and tuning.fresh and METASCHEDULE in tuning.measured:
        found[METASCHEDULE] = None
    return found


def _fuses_others(call: KernelCall) -> bool:
    """Whether the definition of a call has calls of the cpu dialect."""
    op = OPS[call.op]
    if op.dialect != "cpu" or op.decompose is None:
        return False
    return any(node.op.dialect == "cpu" for node in decomposition(op, call.operands, call.attributes).nodes)


def calls_of(graph: Graph) -> dict[str, KernelCall]:
    """The kernel calls of a graph by their text, each once."""
    made = (n for n in graph.nodes if n.op.dialect != "nn" and all(v.type.size for v in [*n.operands, *n.results]))
    return {call.text: call for call in map(KernelCall.of, made)}


def choose(calls: Iterable[KernelCall], target: Target, known: Measurements | None = None) -> dict[str, Choice]:
    """What to take for each call by what is `known`: the overlay and the base unless given."""
    keys = {call: call.key for call in calls}
    tunings = (known_measurements() if known is None else known).tunings(set(keys.values()), target.timing_fingerprint)
    return {call.text: _choice(call, target, tunings.get(key)) for call, key in keys.items()}


Chooser = Callable[[Iterable[KernelCall], Target], Choices]
"""Says by which variant each of some calls is computed on a target, by their text."""


def settle(graph: Graph, target: Target, chooser: Chooser = choose) -> tuple[Graph, Choices]:
    """A choice for every call, and the graph with calls that separate kernels compute replaced by those."""
    graph = graph.clone()
    choices: dict[str, Choice] = {}
    while calls := [call for text, call in calls_of(graph).items() if text not in choices]:
        choices.update(chooser(calls, target))
        for node in list(graph.nodes):
            choice = choices.get(KernelCall.of(node).text)
            if choice is not None and choice.variant == SEPARATE:
                _separate(graph, node)
    return graph, choices


def _separate(graph: Graph, node: Node) -> None:
    rewriter = Rewriter(graph)
    assert node.op.decompose is not None
    made = node.op.decompose(rewriter.before(node), *node.op.padded(node.operands), **node.attributes)
    rewriter.replace(node, *(made if isinstance(made, tuple) else (made,)))


def choose_recorded(
    calls: Iterable[KernelCall], target: Target, recorded: Mapping[str, str], schedules: Mapping[str, str]
) -> dict[str, Choice]:
    """The variants and schedules that were recorded, by the calls' texts.

    Raises UsageError listing all that are not to be had.
    """
    found: dict[str, Choice] = {}
    problems = []
    for call in calls:
        available = variants(call, target)
        if call.text in schedules:
            available[METASCHEDULE] = None
        variant = recorded.get(call.text)
        if variant is None:
            problems.append(f"no variant is recorded for {call.text}")
        elif variant not in available:
            problems.append(f"there is no variant {variant!r} of {call.text}; there is {choices_text(available)}")
        else:
            found[call.text] = Choice(variant, available[variant], "as recorded", schedules.get(call.text, ""))
    if problems:
        raise UsageError("what is recorded cannot be reproduced: " + "; ".join(problems))
    return found


def _choice(call: KernelCall, target: Target, tuning: Tuning | None) -> Choice:
    available = variants(call, target, tuning)
    default = next(iter(available))
    best = None if tuning is None else tuning.best(available, default)
    if tuning is None or best is None:
        return Choice(default, available[default], "default: no measurement")
    if target.threads > 1 and default not in tuning.measured:
        # what is best for one thread was measured, and several start from something else
        return Choice(default, available[default], f"default for {target.threads} threads: measured for one")
    where = " for the base that ships" if tuning.shipped else ""
    why = f"{tuning.kind.value}{where} {best.median_ns / 1000:.1f} µs"
    reference = tuning.measured.get(default)
    if best is reference:
        why += f", the default: nothing is faster by more than {tuning.noise:.0%}"
    elif reference is not None:
        why += f", {best.gain / reference.gain:.2f}x the default"
    why = why if tuning.fresh else f"{why} (by earlier kernels)"
    return Choice(best.variant, available[best.variant], why, best.schedule)
