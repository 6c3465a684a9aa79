"""What pytest collects outside tests/: every module, for its doctests, but for those that need an extra."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["nascompiler/torch_bridge", "nascompiler/training"]
