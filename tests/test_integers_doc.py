"""docs/integers.md has the formula of every op of qnn, as the op itself states it."""

from __future__ import annotations

from pathlib import Path

from nascompiler.ir.ops import OPS, OpDef

PAGE = Path(__file__).parents[1] / "docs" / "integers.md"
TITLE = "## The ops\n"


def section() -> str:
    """The part of the page that is made from the ops."""
    ops = [OPS[name] for name in sorted(OPS) if name.startswith("qnn.")]
    return "\n".join([TITLE, *map(_entry, ops)])


def _entry(op: OpDef) -> str:
    operands = ", ".join(
        f"{o.name}{'?' if o.optional else ''}: {'|'.join(sorted(map(str, o.dtypes or ())))}" for o in op.operands
    )
    attributes = ", ".join(a.name for a in op.attributes)
    return f"### {op.name}\n\n`({operands})`, attributes {attributes}.\n\n{op.summary}\n"


def test_the_page_has_the_formulas_of_the_ops(request):
    text = PAGE.read_text(encoding="utf-8")
    prose, title, _ = text.partition(TITLE)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(prose + section(), encoding="utf-8")
        return
    assert title
    assert text == prose + section(), "pytest --update-golden writes the formulas of the ops into the page"
