"""Find implementations by name: a module of this package, an installed entry point, or ``package.module:Class``."""

import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract, isfunction
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeVar

from scaleinv.runs.installed import installed

T = TypeVar("T")


def names(package: str) -> list[str]:
    """Return the plain names that can be found in ``package``, sorted, without importing any of them.

    These are its modules (except helpers, ``_name``) and the entry points that installed packages register in the
    group ``package``: ``[project.entry-points."scaleinv.spaces"] mine = "package.module:Class"``.
    """
    return sorted(modules(package) | set(installed(package)))


def find(package: str, name: str, base: type[T]) -> type[T]:
    """Return the concrete subclass of ``base`` that a name means.

    Args:
        package: package of this project, e.g. ``scaleinv.spaces``; also the group of the entry points.
        name: a module of the package that defines exactly one such class, an entry point, or
            ``package.module:Class``, which is imported from Python's path or the working directory; a function of a
            project's own, where ``base.of_function`` makes a class of it.
        base: required base class.

    Raises:
        LookupError: there is none; the message lists the names that exist, or says why the import failed.
        TypeError: the object found is not a concrete subclass of ``base``.
    """
    if (point := outside(package, name)) is not None:
        return _checked(load(point), name, base)
    if name not in modules(package):
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


def outside(package: str, name: str) -> EntryPoint | None:
    """Return where a part of a user's own is: ``package.module:name``, or the entry point of that name; else None.

    Args:
        package: group of the entry points.
        name: see :func:`find`.

    Raises:
        TypeError: another part has the same name, so that runs with either would have one id.
    """
    if ":" in name:
        return EntryPoint(name, name, package)
    if (point := installed(package).get(name)) is None:
        return None
    if name in modules(package):
        raise TypeError(f"{point.value} is installed as {name}, which is the name of a part of scaleinv; rename it")
    others = {other.value for other in entry_points(group=package, name=name)} - {point.value}
    if others:
        raise TypeError(f"{point.value} and {min(others)} are both installed as {name}; rename one of them")
    return point


@lru_cache(maxsize=64)
def modules(package: str) -> frozenset[str]:
    """Return the names of a package's own modules, except helpers, ``_name``."""
    path = import_module(package).__path__
    return frozenset(m.name for m in iter_modules(path) if m.name != "base" and not m.name.startswith("_"))


def load(point: EntryPoint) -> object:
    """Import a part, from Python's path or the working directory.

    Raises:
        LookupError: that is impossible; the message says why.
    """
    here = str(Path.cwd())
    if here not in sys.path:  # an installed command does not have it, unlike ``python -m``
        sys.path.append(here)
    try:
        return point.load()
    except Exception as error:  # whatever a module does when it is imported
        kind = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise LookupError(f"{point.value} cannot be imported: {kind}{error}") from error


def _checked(value: object, name: str, base: type[T]) -> type[T]:
    if isfunction(value) and (of_function := getattr(base, "of_function", None)):
        return of_function(value)
    if not (isinstance(value, type) and issubclass(value, base) and not isabstract(value)):
        raise TypeError(f"{name} is no concrete {base.__module__}.{base.__name__}")
    return value
