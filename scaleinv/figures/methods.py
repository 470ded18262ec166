"""From the keys of a run to the name of its method, and how the method is drawn everywhere. No torch."""

from collections.abc import Sequence

import pandas as pd

from scaleinv.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    OPTIMIZER_NAMES,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Series,
)

# Configuration keys that tell methods apart; load_records adds them as columns.
KEYS = (
    *("space.fix", "space.skeleton", "space.normalise", "optimizer.memory", "optimizer.momentum"),
    *("start.name", "start.sigma", "dataset.split", "epochs"),
)
# Short name of a space with its options -> colour and marker.
SPACES = {
    "weight": (BLACK, "o"),
    "G": (ORANGE, "s"),
    "G, kept": (RED, "P"),
    "G, invariant": (BLUE, "X"),
    "fixed": (GREEN, "^"),
    "fixed, kept": (SKY, "v"),
    "fixed, reparametrised": (RED, "<"),
    "cycle": (PURPLE, "D"),
}
LINES = {"SGD": "-", "momentum": "-.", "Adam": "--", "Adam, no memory": ":", "momentum, no memory": ":"}


def with_methods(records: pd.DataFrame) -> pd.DataFrame:
    """Add the columns ``space_name``, ``optimizer_name`` and ``method`` to records that have :data:`KEYS`."""
    named = records.copy()
    named["space_name"] = [
        _space_name(*row) for row in zip(named["space"], named["space.fix"], named["space.normalise"], strict=True)
    ]
    named["optimizer_name"] = [
        _optimizer_name(*row)
        for row in zip(named["optimizer"], named["optimizer.memory"], named["optimizer.momentum"], strict=True)
    ]
    named["method"] = named["optimizer_name"] + " / " + named["space_name"]
    return named


def _space_name(space: str, fix: object, normalise: object) -> str:
    if space == "gspace":
        if fix == "overwrite":
            return "G"
        return "G, invariant" if normalise == "balanced" else "G, kept"
    if space == "fixed":
        return {"overwrite": "fixed", "keep": "fixed, kept"}.get(str(fix), "fixed, reparametrised")
    return space


def _optimizer_name(optimizer: str, memory: object, momentum: object) -> str:
    has_momentum = isinstance(momentum, int | float) and momentum > 0
    name = "momentum" if optimizer == "sgd" and has_momentum else OPTIMIZER_NAMES.get(optimizer, optimizer)
    return name if memory is True or memory == "True" else f"{name}, no memory"


def method_series(method: str) -> Series:
    """Return label, colour, marker and line of ``optimizer / space``."""
    optimizer, space = method.split(" / ")
    color, marker = SPACES.get(space, (BLACK, "."))
    style = {"color": color, "marker": marker, "linestyle": LINES.get(optimizer, "-")}
    if optimizer.endswith("no memory"):
        style["markerfacecolor"] = "white"
    return Series(method, style)


def in_order(methods: Sequence[str]) -> list[str]:
    """Sort methods by space, then by optimizer, the same way in every figure and table."""
    spaces, optimizers = list(SPACES), list(LINES)

    def rank(method: str) -> tuple[int, int]:
        optimizer, space = method.split(" / ")
        return spaces.index(space), optimizers.index(optimizer)

    return sorted(set(methods), key=rank)
