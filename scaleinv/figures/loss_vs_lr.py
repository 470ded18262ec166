"""Loss against learning rate, one curve per space and optimizer, one panel per data set (thesis, figure 4.1)."""

import pandas as pd

from scaleinv.best import best_epochs
from scaleinv.figures.style import PAGE, Drawing, log_lr_axis, panels, plot_seeds, series, styled

# Draws whatever runs it is given.
EXPERIMENT = None


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the best validation loss of each method at each learning rate."""
    best = best_epochs(records)
    datasets = list(dict.fromkeys(best["dataset"]))
    figure, axes = panels(len(datasets), width=PAGE if len(datasets) > 1 else 4.2)
    tables = []
    for ax, dataset in zip(axes, datasets, strict=True):
        part = best[best["dataset"] == dataset]
        for (space, optimizer), members in part.groupby(["space", "optimizer"], sort=False):
            table = plot_seeds(ax, members, series(space, optimizer), "lr", "val_loss")
            tables.append(table.assign(dataset=dataset, space=space, optimizer=optimizer))
        log_lr_axis(ax)
        ax.set_title(dataset)
        ax.set_yscale("log")
        ax.set_ylabel("best validation loss")
    axes[0].legend()
    epochs, n = int(records["epoch"].max()), best["seed"].nunique()
    caption = (
        f"Best validation loss in {epochs} epochs against the learning rate; n = {n} seeds. Line: median; band: range;"
        " faint lines: single seeds; crosses at the top edge: diverged members, with their number."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
