"""Invariance or initialisation? Two starts, five spaces, two optimizers (maths.md, section 6, E1)."""

from typing import Any

import numpy as np
import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.methods import SPACES
from scaleinv.report.figures.style import PAGE, Drawing, loss_axis, panels, styled
from scaleinv.report.members import best_epochs, best_lr
from scaleinv.report.methods import refuse_several, refuse_to_pool, with_methods

EXPERIMENT = "start_or_space"
STARTS = {"default": "default initialisation", "overwritten": "skeleton overwritten with 1"}


def best_per_seed(records: pd.DataFrame) -> pd.DataFrame:
    """Return the best validation loss per start, space, optimizer and seed, at the best learning rate of the arm."""
    refuse_several(records, "dataset")
    named = with_methods(records, ["start.name"])
    by = ["start.name", "space_name", "optimizer_name"]
    refuse_to_pool(named, by)
    best = best_epochs(named, "val_loss", by)
    lows = best_lr(best, by)
    return best.merge(lows[[*by, "lr", "at_edge"]], on=[*by, "lr"])


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per optimizer: spaces along x, the two starts side by side, one line per seed."""
    table = best_per_seed(records)
    optimizers = sorted(set(table["optimizer_name"]), reverse=True)
    spaces = [space for space in SPACES if space in set(table["space_name"])]
    figure, axes = panels(len(optimizers), width=PAGE + 1, height=3.0)
    for ax, optimizer in zip(axes, optimizers, strict=True):
        own = table[table["optimizer_name"] == optimizer]
        finite = own.loc[np.isfinite(own["val_loss"]), "val_loss"]
        top = min(finite.max(), 4 * finite.min())
        for i, space in enumerate(spaces):
            color, marker = SPACES[space]
            part = own[own["space_name"] == space].pivot(index="seed", columns="start.name", values="val_loss")
            for _, seed in part.iterrows():
                ax.plot(
                    (i - 0.15, i + 0.15), [min(seed[s], top) for s in STARTS], color=color, linewidth=0.5, alpha=0.5
                )
            for shift, start in ((-0.15, "default"), (0.15, "overwritten")):
                values = np.minimum(part[start], top)
                face = "white" if start == "default" else color
                style: dict[str, Any] = {"color": color, "marker": marker, "markerfacecolor": face, "markersize": 3.5}
                ax.plot(np.full(len(values), i + shift), values, linestyle="", **style)
        ax.set_xticks(range(len(spaces)), spaces, rotation=20, ha="right")
        loss_axis(ax, own["val_loss"], top)
        ax.set_ylabel("best validation loss")
        ax.set_title(f"{optimizer}: default start (hollow), overwritten (filled)")
    name = DATASETS.get(records["dataset"].iloc[0], "")
    caption = (
        "Best validation loss of every seed, each arm at its best learning rate (half-decade grid), from the default"
        " initialisation (hollow) and from the same one with the skeleton overwritten by 1 (filled); a line joins a"
        f" seed's two; losses above four times the best are drawn at the top edge. {name}; {describe_n(records)}."
    )
    columns = ["dataset", "start.name", "space_name", "optimizer_name", "seed", "lr", "at_edge", "val_loss"]
    return Drawing(figure, table[columns], caption)
