"""Maps the top-level folders ir/, passes/ and backends/ to nascompiler.ir, nascompiler.passes and nascompiler.backends.

Everything else about the package stands in pyproject.toml; docs/decisions/0001-layout.md says why.
"""

from setuptools import find_packages, setup

_TOP = ("ir", "passes", "backends")
_PARTS = [p for top in _TOP for p in (top, *(f"{top}.{s}" for s in find_packages(top)))]
_OWN = find_packages("nascompiler", exclude=[f"{top}*" for top in _TOP])

setup(
    packages=["nascompiler", *(f"nascompiler.{p}" for p in [*_OWN, *_PARTS])],
    package_dir={f"nascompiler.{top}": top for top in _TOP},
)
