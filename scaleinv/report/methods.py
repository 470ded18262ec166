"""Name methods by the configurations of their runs. No torch.

A method is ``optimizer / space``. Any other setting that differs between the runs and can change a result is appended
(``SGD / weight, weight_decay 0.1``), so that no curve, row or verdict mixes two experiments.
"""

import hashlib
from collections.abc import Sequence

import pandas as pd

from scaleinv.report.keys import headings
from scaleinv.report.members import LABELS, member_columns
from scaleinv.runs.config import AXES
from scaleinv.runs.errors import UserError

OPTIMIZER_NAMES = {
    **{"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "adagrad": "AdaGrad"},
    **{"path_sgd": "Path-SGD", "ddp_sgd": "DDP-SGD", "natural_gradient": "natural gradient"},
}
# Group of keys -> column that names the choice; keys of a group are compared among the runs with the same choice.
NAMED_BY = {"space": "space_name", "optimizer": "optimizer_name"}
# Axes that every figure and table shows: learning rates along the curve, seeds as replicates.
DRAWN = ("lr", "seed")
FROM_AXIS = {column: key for key, column in AXES.items()}
# Longest text of a setting, in characters; longer ones are cut and hashed.
LONGEST = 24


def with_methods(records: pd.DataFrame, shown: Sequence[str] = ()) -> pd.DataFrame:
    """Add the columns ``space_name``, ``optimizer_name`` and ``method`` to records.

    Args:
        records: records of sweeps, read with ``keys=None``.
        shown: keys and axes that the caller separates by itself (by panels, by the x axis); they are not named.

    Returns:
        A copy. Rows with the same data set, method and values of ``shown`` come from one configuration: their members
        differ only in learning rate and seed.

    Raises:
        ValueError: two configurations would get the same name, because ``records`` lack keys.
    """
    named = records.copy()
    named["space_name"] = [
        _space_name(*row) for row in zip(*_columns(named, "space", "space.fix", "space.normalise"), strict=True)
    ]
    named["optimizer_name"] = [
        _optimizer_name(*row)
        for row in zip(*_columns(named, "optimizer", "optimizer.memory", "optimizer.momentum"), strict=True)
    ]
    named["method"] = named["optimizer_name"] + " / " + named["space_name"] + _differences(named, shown)
    arms = named.groupby(["dataset", "method", *shown], dropna=False)["configuration"].nunique()
    if (arms > 1).any():
        raise ValueError("two configurations would have one name: read the records with keys=None")
    return named


def refuse_to_pool(named: pd.DataFrame, by: Sequence[str]) -> None:
    """Refuse records in which several methods would be drawn as one by a figure that cannot name them.

    Args:
        named: from :func:`with_methods`.
        by: columns that the figure separates.

    Raises:
        UserError: names two such methods.
    """
    for _, arm in named.groupby(list(by), dropna=False, sort=False) if len(named) else []:
        if len(methods := list(dict.fromkeys(arm["method"]))) > 1:
            raise UserError(
                f"{methods[0]!r} and {methods[1]!r} would be shown as one method",
                f"{len(methods)} methods in {arm['run'].nunique()} runs",
                "give the folders of the runs that belong together, or draw loss_vs_lr, which names them",
            )


def refuse_several(records: pd.DataFrame, column: str) -> None:
    """Refuse records with several values in ``column`` (data sets, say) for a figure that shows only one."""
    if len(values := list(dict.fromkeys(records[column]))) > 1:
        raise UserError(
            f"this shows one {column}, the records have {', '.join(map(str, values))}", "", "give the runs of one"
        )


def refuse_differences(records: pd.DataFrame, shown: Sequence[str] = ()) -> None:
    """Refuse records of a task without methods if the runs differ in a key that the figure does not show.

    Args:
        records: records read with ``keys=None``.
        shown: keys that the figure separates.

    Raises:
        UserError: names the key.
    """
    for key in settings_of(records, shown):
        texts = sorted(set(records[key].map(_text)))
        if len(texts) > 1:
            raise UserError(
                f"the runs differ in {key} ({', '.join(text or 'absent' for text in texts)}) and would be shown as one",
                f"{records['run'].nunique()} runs",
                "give the folders of the runs that belong together",
            )


def _columns(records: pd.DataFrame, *names: str) -> list[pd.Series]:
    """Return columns; a column that no run has is empty."""
    return [records[name] if name in records else pd.Series(None, records.index, dtype=object) for name in names]


def settings_of(records: pd.DataFrame, shown: Sequence[str]) -> list[str]:
    """List the columns that can distinguish methods: the keys, and the axes that are not drawn."""
    columns = [str(name) for name in records]
    keys = columns[columns.index("run") + 1 : columns.index("configuration")]
    axes = [name for name in member_columns(records) if name not in (*LABELS, *DRAWN)]
    return [name for name in (*keys, *axes) if name not in {*AXES, "dataset.name", *shown}]


def _differences(named: pd.DataFrame, shown: Sequence[str]) -> pd.Series:
    """Return for every row the settings that its name must include, each after a comma.

    Runs of one data set are compared. A key of a space is compared among runs with the same space name, a key of an
    optimizer among runs with the same optimizer name, a key of another choice (``start.sigma``) among runs with the
    same choice, and any other key among all runs. A setting that differs on one data set is named on all of them.
    """
    settings = settings_of(named, shown)
    axes = [name for name in settings if name in member_columns(named)]
    number = named.groupby(["experiment", "run", *axes], dropna=False).ngroup()
    arms = named[~number.duplicated()]
    differing = {}
    for name in settings:
        values = arms[name].map(_text)
        differs = _differs_among(arms, name, values)
        if differs.any():
            differing[name] = values.where(differs, "")
    names = headings(list(differing))
    texts = pd.Series("", arms.index, dtype=object)
    for name, values in differing.items():
        texts += (f", {names[name]} " + values).where(values != "", "")
    return number.map(dict(zip(number[arms.index], texts, strict=True)))


def _differs_among(arms: pd.DataFrame, name: str, values: pd.Series) -> pd.Series:
    """Return for every arm whether a setting differs among the arms that it is compared with."""
    group, _, option = FROM_AXIS.get(name, name).rpartition(".")
    alike = [arms[NAMED_BY[group]]] if group in NAMED_BY else []
    alike += [arms[f"{group}.name"]] if group and option != "name" and f"{group}.name" in arms else []
    alike = alike or [pd.Series("", arms.index)]
    differs = values.groupby([arms["dataset"], *alike], dropna=False).transform("nunique") > 1
    return differs.groupby(alike, dropna=False).transform("any")


def _word(name: str) -> str:
    """Return the last word of a key; of ``group.name``, the group."""
    return name.removesuffix(".name").rpartition(".")[2]


def _text(value: object) -> str:
    """Write a setting in few characters; empty if the run lacks it."""
    if value is None or value != value:
        return ""
    text = f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 9]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


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
    return f"{name}, no memory" if str(memory) == "False" else name
