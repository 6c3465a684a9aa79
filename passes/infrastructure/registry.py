"""The one registry of passes: built-in ones, those of installed packages, those of a user's script."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from nascompiler.ir.errors import UsageError, unknown
from nascompiler.passes.infrastructure.base import Pass

PassType = TypeVar("PassType", bound=type[Pass])
ENTRY_POINTS = "nascompiler.passes"


class PassRegistry(Mapping[str, type[Pass]]):
    """Passes by name. Built-in modules and entry points of the group `nascompiler.passes` load at the first look-up."""

    def __init__(self) -> None:
        self._passes: dict[str, type[Pass]] = {}
        self._loaded = False
        self.version = 0
        """Grows with every pass: what was made of names before may be another now."""

    def register(self, cls: PassType) -> PassType:
        """Class decorator that makes a pass known under its name; raises UsageError when the name is taken."""
        if not (isinstance(cls, type) and issubclass(cls, Pass)):
            raise UsageError(f"{getattr(cls, '__qualname__', cls)} is no pass: derive it from nascompiler.passes.Pass")
        if "__dataclass_params__" not in cls.__dict__:
            cls = dataclasses.dataclass(frozen=True)(cls)  # type: ignore[assignment]
        taken = self._passes.get(cls.name)
        if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise UsageError(
                f"two passes named {cls.name!r}: {taken.__module__}.{taken.__qualname__} and "
                f"{cls.__module__}.{cls.__qualname__}; rename one (`name = ...` in the class)"
            )
        self._passes[cls.name] = cls
        self.version += 1
        return cls

    def load(self) -> None:
        """Import the built-in passes and those of installed packages, once."""
        if self._loaded:
            return
        self._loaded = True
        import nascompiler.passes

        for module in pkgutil.iter_modules(nascompiler.passes.__path__):
            if not module.ispkg:
                importlib.import_module(f"nascompiler.passes.{module.name}")
        for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda p: p.name):
            try:
                loaded = point.load()
            except UsageError:
                raise
            except Exception as error:
                raise UsageError(f"the plugin {point.name!r} ({point.value}) cannot be loaded: {error}") from error
            if isinstance(loaded, type) and issubclass(loaded, Pass):
                self.register(loaded)

    def find(self, name: str) -> type[Pass]:
        """The pass of that name; raises UsageError with the nearest names otherwise."""
        self.load()
        if name not in self._passes:
            raise unknown("pass", name, self._passes)
        return self._passes[name]

    def __getitem__(self, name: str) -> type[Pass]:
        self.load()
        return self._passes[name]

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._passes))

    def __len__(self) -> int:
        self.load()
        return len(self._passes)


PASSES = PassRegistry()
register_pass = PASSES.register


def load_script(path: str | Path) -> None:
    """Run a Python file that registers passes (`--load`); raises UsageError when it cannot be read or fails."""
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"cannot load {path}: no such file")
    PASSES.load()
    name = f"nascompiler_script_{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"cannot load {path}: not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except UsageError:
        raise
    except Exception as error:
        line = _line_in(path, error)
        raise UsageError(f"{path}{line}: {type(error).__name__}: {error}") from error


def _line_in(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    trace = error.__traceback__
    line = ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line
