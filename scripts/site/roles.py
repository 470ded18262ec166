"""Cross-references in docstrings (``:func:`` and its like) as links of the reference; griffe loads this extension."""

import logging
import re
from typing import Any

import griffe

# mkdocs counts what is logged under its own name: a reference that leads nowhere ends a strict build.
LOG = logging.getLogger("mkdocs.plugins.roles")
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)(?:\(\))?`")


class Roles(griffe.Extension):
    """Turn roles into links, before the docstrings are parsed."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite all docstrings of a package."""
        pending: list[griffe.Object] = [pkg]
        while pending:
            scope = pending.pop()
            if scope.docstring:
                scope.docstring.value = ROLE.sub(
                    lambda match, scope=scope: link(match[1], scope), scope.docstring.value
                )
            pending += [member for member in scope.members.values() if isinstance(member, griffe.Object)]


def link(name: str, scope: griffe.Object) -> str:
    """Return a link to what a name means in a scope; none to what is private, undocumented or not of this package."""
    shown = f"`{name}`"
    try:
        first, _, rest = name.partition(".")
        target = name if first == "scaleinv" else ".".join(filter(None, [scope.resolve(first), rest]))
        if not target.startswith("scaleinv"):
            return shown
        meant = scope.modules_collection[target]
    except (KeyError, griffe.NameResolutionError, griffe.AliasResolutionError):
        LOG.warning("%s: the docstring refers to %s, which is not there", scope.path, name)
        return shown
    is_private = any(part.startswith("_") for part in meant.canonical_path.split("."))
    return f"[{shown}][{meant.canonical_path}]" if meant.has_docstring and not is_private else shown
