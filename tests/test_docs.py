"""The Python in docs/ runs as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nascompiler.ir import OPS
from nascompiler.passes import PASSES

PAGES = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
BLOCKS = [
    pytest.param(page, block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.fixture
def registries() -> Iterator[None]:
    ops, passes = dict(OPS), dict(PASSES)
    yield
    for registered, before in ((OPS._ops, ops), (PASSES._passes, passes)):
        for name in set(registered) - set(before):
            del registered[name]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("page", "block"), BLOCKS)
@pytest.mark.usefixtures("registries")
def test_python_in_the_docs_runs(page: Path, block: str) -> None:
    exec(compile(block, str(page), "exec", dont_inherit=True), {"__name__": "__docs__"})


@pytest.mark.parametrize("page", [Path("README.md"), Path("CONTRIBUTING.md"), *PAGES], ids=lambda p: Path(p).stem)
def test_links_lead_somewhere(page: Path) -> None:
    root = Path(__file__).parent.parent
    path = root / page
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / link).exists(), f"{page} links to {link}"
