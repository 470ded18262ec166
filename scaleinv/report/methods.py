"""From the keys of a run to the name of its method. No torch."""

import pandas as pd

# Configuration keys that tell methods apart; load_records adds them as columns.
KEYS = (
    *("space.fix", "space.skeleton", "space.normalise", "optimizer.memory", "optimizer.momentum"),
    *("start.name", "start.sigma", "dataset.split", "epochs"),
)
OPTIMIZER_NAMES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}


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
