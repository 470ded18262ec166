"""Find implementations by name: a module of a folder of ours, an installed entry point, or ``package.module:Class``."""

import sys
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeVar

T = TypeVar("T")


def names(package: str) -> list[str]:
    """Return what can be found in ``package`` by a plain name, sorted, without importing any of it.

    These are its modules (``_name`` serves the others) and the entry points that installed packages have under
    ``package``: ``[project.entry-points."scaleinv.spaces"] mine = "package.module:Class"``.
    """
    path = import_module(package).__path__
    ours = {m.name for m in iter_modules(path) if m.name != "base" and not m.name.startswith("_")}
    return sorted(ours | set(_installed(package)))


def find(package: str, name: str, base: type[T]) -> type[T]:
    """Return the concrete subclass of ``base`` that a name means.

    Args:
        package: folder of ours, e.g. ``scaleinv.spaces``; it is also the group of the entry points.
        name: a module of the folder that defines one such class, an entry point, or ``package.module:Class``,
            looked for where Python looks and in the working directory.
        base: what the class must be.

    Raises:
        LookupError: there is none; the message says where it was looked for.
        TypeError: what was found is no concrete ``base``.
    """
    if ":" in name:
        return _checked(_load(EntryPoint(name, name, package)), name, base)
    if (point := _installed(package).get(name)) is not None:
        return _checked(_load(point), name, base)
    if name not in names(package):
        raise LookupError(f"there are {', '.join(names(package))}, and package.module:Class")
    module = import_module(f"{package}.{name}")
    defined = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and not isabstract(value)
        and value.__module__ == module.__name__
    ]
    if len(defined) != 1:
        raise TypeError(f"{module.__name__} must define one {base.__name__}, it defines {len(defined)}")
    return defined[0]


def _installed(package: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=package)}


def _load(point: EntryPoint) -> object:
    here = str(Path.cwd())
    if here not in sys.path:  # a command is not started with it, unlike ``python -m``
        sys.path.append(here)
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise LookupError(f"{point.value} cannot be imported: {error}") from error


def _checked(value: object, name: str, base: type[T]) -> type[T]:
    if not (isinstance(value, type) and issubclass(value, base) and not isabstract(value)):
        raise TypeError(f"{name} is no concrete {base.__module__}.{base.__name__}")
    return value
