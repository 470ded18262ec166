"""Entry points of installed packages, read once: every name that a configuration mentions is looked up in them."""

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name; they are read again when Python's path changes."""
    return dict(_read(group, tuple(sys.path)))


@lru_cache(maxsize=64)
def _read(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}
