"""Keys and values of configurations in few characters. No torch, no pandas."""

import json
from collections.abc import Sequence
from typing import Any


def headings(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest heading of every key: its last word, unless another has the same."""
    words = [word(key) for key in keys]
    return {key: own if words.count(own) == 1 else key for key, own in zip(keys, words, strict=True)}


def word(key: str) -> str:
    """Return the last word of a key; of ``group.name``, the group."""
    return key.removesuffix(".name").rpartition(".")[2]


def as_text(value: Any) -> str:
    """Write a value as on the command line, lists with commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, list):
        if all(not isinstance(one, list | dict) for one in value):
            return ",".join(map(as_text, value))
        return "[" + ",".join(f"[{as_text(one)}]" if isinstance(one, list) else as_text(one) for one in value) + "]"
    return str(value) if not isinstance(value, dict) else json.dumps(value, separators=(",", ":"))
