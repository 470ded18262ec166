"""YAML as data: no tags, which could name code, and no aliases, with which a few lines can expand to gigabytes."""

from typing import Any

import yaml  # type: ignore[import-untyped]

# The variant in C, which PyYAML has on most machines, is ten times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 100


def read_plain(text: str) -> Any:
    """Read one document.

    Raises:
        yaml.YAMLError: it is not plain YAML, has an alias, or is nested more than 100 deep.
    """
    depth = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias")
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST} deep")
    return yaml.load(text, _LOADER)
