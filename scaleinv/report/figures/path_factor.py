"""The constant path factor against rescaling and overwriting, with two skeletons, and what the roots do meanwhile."""

import numpy as np
import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n, legend_below, worst_shown
from scaleinv.report.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PAGE,
    Drawing,
    Series,
    log_lr_axis,
    loss_axis,
    panels,
    plot_seeds,
    styled,
)
from scaleinv.report.members import best_epochs
from scaleinv.report.methods import refuse_several, refuse_to_pool, with_methods

EXPERIMENT = "path_factor"
COLORS = {"keep": BLUE, "rescale": GREEN, "overwrite": ORANGE}
# Rescaling changes coordinates by factors that keeping leaves in S: the two train alike but for round-off. The kept one
# is drawn wide, so that it is seen below the other.
WIDTHS = {"keep": 3.2, "rescale": 1.0, "overwrite": 1.2}
LINES = {"default": ("-", "o"), "maxprod": ("--", "s")}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw loss and root flips against the learning rate, one column per optimizer."""
    arms = ["space.fix", "space.skeleton"]
    refuse_several(records, "dataset")
    refuse_to_pool(with_methods(records, arms), [*arms, "optimizer"])
    best = best_epochs(records, "val_loss", arms)
    trained = records[records["epoch"] > 0]
    flips = trained.groupby([*arms, "optimizer", "lr", "seed"])["root_flips"].sum().reset_index()
    optimizers = sorted(set(records["optimizer"]), reverse=True)
    figure, axes = panels(len(optimizers), 2, PAGE + 1, 4.8)
    tables = []
    for i, (data, column) in enumerate(((best, "val_loss"), (flips, "root_flips"))):
        for j, optimizer in enumerate(optimizers):
            ax = axes[i * len(optimizers) + j]
            for fix, color in COLORS.items():
                for skeleton, (line, marker) in LINES.items():
                    is_arm = (data["space.fix"] == fix) & (data["space.skeleton"] == skeleton)
                    part = data[is_arm & (data["optimizer"] == optimizer)]
                    style = {"color": color, "linestyle": line, "marker": marker, "linewidth": WIDTHS[fix]}
                    table = plot_seeds(ax, part, Series(f"{fix}, {skeleton}", style), "lr", column)
                    tables.append(table.assign(fix=fix, skeleton=skeleton, optimizer=optimizer, measure=column))
            log_lr_axis(ax)
            if column == "val_loss":
                shown = pd.concat(tables[-len(COLORS) * len(LINES) :])[["low", "median"]].melt()["value"]
                loss_axis(ax, shown, worst_shown(records))
                ax.set_ylabel("best validation loss")
            else:
                ax.set_yscale("symlog", linthresh=1)
                ax.set_ylim(bottom=0)
                ax.set_ylabel("sign changes of roots")
            ax.set_title({"sgd": "SGD", "adam": "Adam"}.get(optimizer, optimizer))
    legend_below(figure, axes[:1], 3)
    smallest = trained["smallest_root"].replace([np.inf], np.nan).min()
    caption = (
        "G-space (coordinates are the path values themselves) whose fixed weights are kept (the constant path factor),"
        " rescaled to +-1 or overwritten with 1, with the default (solid) and the maxprod skeleton (dashed). Kept"
        " (wide lines) and rescaled weights train alike by theorem 4 until round-off grows, so their lines lie on each"
        " other. Below: how"
        f" often roots, where the chart has poles, changed sign in training; the smallest was {smallest:.1e}."
        f" {DATASETS.get(records['dataset'].iloc[0], '')}; {describe_n(records)}. Line: median; band: range; crosses:"
        " diverged members, with their number."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
