"""Loss against the share alpha of the data. Helper of figures."""

from collections.abc import Sequence

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.style import BLUE, ORANGE, PAGE, Drawing, loss_axis, panels
from scaleinv.report.members import best_epochs, best_lr
from scaleinv.report.methods import refuse_several


def alpha_figure(records: pd.DataFrame, alpha: str, moment: str, what: str, ends: Sequence[str]) -> Drawing:
    """Draw the best validation loss of every seed against alpha, at the best learning rate of each alpha.

    Args:
        records: records of an experiment.
        alpha: column of alpha.
        moment: column of the moment; one line per moment.
        what: begins the caption.
        ends: what alpha 0 and alpha 1 are.
    """
    refuse_several(records, "dataset")
    by = [moment, alpha]
    best = best_epochs(records, "val_loss", by)
    lows = best_lr(best, by)
    picked = best.merge(lows[[*by, "lr", "at_edge"]], on=[*by, "lr"])
    figure, (ax,) = panels(1, width=0.75 * PAGE, height=3.0)
    for (name, own), color in zip(picked.groupby(moment), (BLUE, ORANGE), strict=False):
        middle = own.groupby(alpha)["val_loss"].median()
        ax.plot(middle.index, middle, color=color, marker="o", markersize=4, label=str(name).replace("_", " "))
        ax.plot(own[alpha], own["val_loss"], color=color, marker="_", linestyle="", alpha=0.4)
    loss_axis(ax, picked["val_loss"])
    ax.set_ylabel("best validation loss")
    ax.set_xlabel("share alpha of the data")
    ax.set_xticks([0, 0.5, 1], [f"0\n{ends[0]}", "0.5", f"1\n{ends[1]}"])
    ax.legend()
    caption = (
        f"{what} Line: median over seeds; dashes: single seeds, at the best learning rate of each alpha."
        f" {DATASETS.get(records['dataset'].iloc[0], '')}; {describe_n(records)}."
    )
    return Drawing(figure, picked[[*by, "seed", "lr", "at_edge", "val_loss"]], caption)
