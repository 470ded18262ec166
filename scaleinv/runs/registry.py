"""Find the implementations in a package by file name, so that a new one is one new file."""

from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import TypeVar

T = TypeVar("T")


def names(package: str) -> list[str]:
    """Return the names of the modules of ``package``, sorted, without importing them; ``_name`` serves the others."""
    path = import_module(package).__path__
    return sorted(m.name for m in iter_modules(path) if m.name != "base" and not m.name.startswith("_"))


def find(package: str, name: str, base: type[T]) -> type[T]:
    """Return the one concrete subclass of ``base`` that module ``package.name`` defines.

    Raises:
        KeyError: there is no such module; the message lists those there are.
    """
    if name not in names(package):
        raise KeyError(f"there is no {name!r} in {package}; there are {', '.join(names(package))}")
    module = import_module(f"{package}.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and not isabstract(value)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define one {base.__name__}, it defines {len(found)}")
    return found[0]
