"""Which code made a run, and whether it has changed since. Does not import torch."""

import hashlib
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scaleinv.runs.config import Config

PACKAGE = "scaleinv"


def sources(config: Config) -> dict[str, str]:
    """Return digests of the code that computes a run's numbers, by name.

    ``scaleinv`` is all files of the package except its reports. Each module outside it that defines a part of the run
    (its space, a probe, ...), or a base class of such a part in the same project, has an entry of its own.
    """
    root = Path(__file__).parents[1]
    files = [path for path in sorted(root.rglob("*.py")) if path.relative_to(root).parts[0] != "report"]
    digests = {PACKAGE: _digest(files)}
    parts = (config.network, config.space, config.optimizer, config.schedule, config.start, config.loss, config.task)
    for part in (*parts, *config.penalties.values(), *config.probes):
        project = type(part).__module__.split(".")[0]
        for module in {cls.__module__ for cls in type(part).__mro__ if cls.__module__.split(".")[0] == project}:
            path = getattr(sys.modules.get(module), "__file__", None)
            if project != PACKAGE and path:
                digests[module] = _digest([Path(path)])
    return digests


def changes(manifest: Mapping[str, Any], now: Mapping[str, str], git: Mapping[str, Any] | None) -> list[str]:
    """List the differences between the code that made a finished run and the present code.

    The digests decide. Manifests without them are compared by the version of the package and, where both ran from a
    checkout, by commit; a manifest without a version counts as unchanged.

    Args:
        manifest: manifest of the run.
        now: digests from :func:`sources`.
        git: commit and dirty flag of the checkout that the code runs from, or None outside one.
    """
    if (before := manifest.get("sources")) is not None:
        return [_change(name, manifest, git) for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    then, commit = manifest.get("versions", {}).get(PACKAGE), (manifest.get("git") or {}).get("commit")
    is_other = then not in (None, _version()) or (commit and git and commit != git["commit"])
    return [_change(PACKAGE, manifest, git)] if is_other else []


def _change(name: str, manifest: Mapping[str, Any], git: Mapping[str, Any] | None) -> str:
    if name != PACKAGE:
        return f"{name} has changed"
    then = manifest.get("versions", {}).get(PACKAGE, "?")
    return f"{PACKAGE} was {_state(then, manifest.get('git'))}, now {_state(_version(), git)}"


def _state(release: str, git: Mapping[str, Any] | None) -> str:
    return f"{release} ({git['commit'][:7]}{', changed' * bool(git['dirty'])})" if git else release


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "?"


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
