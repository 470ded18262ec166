"""Find implementations by name: a module of this package, an installed entry point, or ``package.module:Class``."""

import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint
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
    return sorted(_modules(package) | set(installed(package)))


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
    point = EntryPoint(name, name, package) if ":" in name else installed(package).get(name)
    if point is not None:
        return _checked(_load(point), name, base)
    if name not in _modules(package):
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


@lru_cache(maxsize=64)
def _modules(package: str) -> frozenset[str]:
    path = import_module(package).__path__
    return frozenset(m.name for m in iter_modules(path) if m.name != "base" and not m.name.startswith("_"))


def _load(point: EntryPoint) -> object:
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
