"""Loss over learning rate and value of the fixed weights, as a picture. Helper of figures."""

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm

from scaleinv.report.figures.curves import DATASETS, datasets_of
from scaleinv.report.figures.style import PAGE, RED, Drawing, panels
from scaleinv.report.members import last_epoch
from scaleinv.report.methods import refuse_to_pool, with_methods


def medians(records: pd.DataFrame) -> pd.DataFrame:
    """Return the median over seeds of the last validation loss; the loss of a diverged member is infinite."""
    grouped = last_epoch(records).groupby(["dataset", "value", "lr"])["val_loss"]
    return grouped.agg(median="median", n="size", diverged=lambda v: int(np.isinf(v).sum())).reset_index()


def value_grid(records: pd.DataFrame) -> Drawing:
    """Draw one panel per data set; the best cell of each value is ringed, cells with an infinite median are crossed."""
    refuse_to_pool(with_methods(records, ["value"]), ["dataset"])
    names = datasets_of(records)
    figure, axes = panels(len(names), width=PAGE + 1 if len(names) > 1 else 4.2, height=3.6)
    tables, budgets = [], []
    for ax, name in zip(axes, names, strict=True):
        own = records[records["dataset"] == name]
        epoch = int(own["epoch"].max())
        table = medians(own)
        grid = table.pivot(index="value", columns="lr", values="median")
        finite = np.where(np.isfinite(grid), grid, np.nan)
        norm = LogNorm(np.nanmin(finite), min(np.nanmax(finite), 30 * np.nanmin(finite)))
        image = ax.pcolormesh(finite, norm=norm, cmap="viridis_r")
        for i, j in zip(*np.nonzero(~np.isfinite(grid.to_numpy())), strict=True):
            ax.plot(j + 0.5, i + 0.5, marker="x", color="0.5", markersize=3)
        for i, row in enumerate(finite):
            if np.isfinite(row).any():
                ax.plot(np.nanargmin(row) + 0.5, i + 0.5, marker="o", markerfacecolor="none", color=RED, markersize=4)
        ax.set_xticks(np.arange(grid.shape[1]) + 0.5, [f"{lr:g}" for lr in grid.columns], rotation=60)
        every = max(1, grid.shape[0] // 10)
        ax.set_yticks(np.arange(grid.shape[0])[::every] + 0.5, [f"{v:g}" for v in grid.index[::every]])
        ax.set_xlabel("learning rate")
        ax.set_ylabel("value of the fixed weights")
        ax.set_title(f"{DATASETS.get(name, name)}, after {epoch} epochs")
        figure.colorbar(image, ax=ax, label="median validation loss", extend="max")
        tables.append(table)
        budgets.append(f"{epoch} epochs on {DATASETS.get(name, name)}")
    seeds = records["seed"].nunique()
    caption = (
        f"Validation loss of SGD in fixed-weight space after {', '.join(budgets)}: median of {seeds} seeds, a"
        " diverged one counted as infinite. Rings: the best learning rate of each value; crosses: infinite median."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
