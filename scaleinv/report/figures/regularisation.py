"""Penalties on weights, on coordinates and on the path norm, in four spaces."""

import json

import numpy as np
import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n, legend_below
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, loss_axis, panels, styled
from scaleinv.report.members import best_epochs
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "regularisation"
PENALTIES = {"l2_weights": "squared weights", "l2_coords": "squared coordinates", "path_norm": "path norm"}


def with_penalties(records: pd.DataFrame) -> pd.DataFrame:
    """Add the columns of :func:`with_methods`, ``penalty`` and ``strength`` to records with one penalty each."""
    axes = [str(name) for name in records if str(name).startswith("penalties")]
    named = with_methods(records, axes)
    named["penalty"] = [json.loads(text)[0] for text in named["penalties"]]
    named["strength"] = np.nan
    for penalty in PENALTIES:
        if (column := f"penalties.{penalty}.strength") in named:
            named["strength"] = named["strength"].fillna(named[column])
    return named


def by_strength(records: pd.DataFrame) -> pd.DataFrame:
    """Return for every penalty, method and strength each seed's best validation loss at the best learning rate."""
    by = ["penalty", "method", "strength"]
    best = best_epochs(with_penalties(records), "val_loss", by)
    medians = best.groupby([*by, "lr"])["val_loss"].median().reset_index()
    chosen = medians.loc[medians.groupby(by)["val_loss"].idxmin(), [*by, "lr"]]
    return best.merge(chosen, on=[*by, "lr"])[[*by, "lr", "seed", "val_loss"]]


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against the strength: one panel per penalty, one line per space."""
    refuse_several(records, "dataset")
    table = by_strength(records)
    kinds = [penalty for penalty in PENALTIES if penalty in set(table["penalty"])]
    figure, axes = panels(len(kinds), width=PAGE + 1.5, height=3.0)
    styles = method_styles(table["method"])
    least = table.loc[table["strength"] > 0, "strength"].min()
    for ax, penalty in zip(axes, kinds, strict=True):
        for method, how in styles.items():
            own = table[(table["penalty"] == penalty) & (table["method"] == method)]
            losses = own.groupby("strength")["val_loss"].agg(["median", "min", "max"])
            ax.plot(losses.index, losses["median"], label=how.label, **how.style)
            finite = losses[np.isfinite(losses["max"])]
            ax.fill_between(
                finite.index, finite["min"], finite["max"], color=how.style["color"], alpha=0.12, linewidth=0
            )
        ax.set_xscale("symlog", linthresh=least)
        ax.set_xlabel("strength")
        ax.set_title(PENALTIES[penalty])
        loss_axis(ax, table["val_loss"], 4 * table["val_loss"].min())
    axes[0].set_ylabel("best validation loss")
    legend_below(figure, axes, 4)
    name = records["dataset"].iloc[0]
    caption = (
        "SGD with a penalty: best validation loss (median over seeds at the best learning rate, band: range) against"
        " its strength; 0, at the left, is training without. Coordinates are path values in G-space as published,"
        f" normalised ones in the invariant spaces. {DATASETS.get(name, name)}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
