"""Versions of the packages that a run depends on, without importing them."""

import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "hydra-core", "scaleinv")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    there = {}
    for package in PACKAGES:
        try:
            there[package] = version(package)
        except PackageNotFoundError:
            continue
    return there


def version_text() -> str:
    """Return what ``--version`` prints."""
    known = versions()
    return "\n".join(
        [
            f"scaleinv {known.get('scaleinv', '(not installed)')}",
            f"torch {known.get('torch', '(not installed)')}",
            f"python {platform.python_version()}",
        ]
    )
