"""Loss over learning rate and value of the fixed weights, as a picture. Helper of figures."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator

from scaleinv.report.figures.curves import DATASETS, datasets_of
from scaleinv.report.figures.style import PAGE, RED, Drawing, log_lr_axis, panels
from scaleinv.report.members import last_epoch
from scaleinv.report.methods import refuse_to_pool, with_methods


def medians(records: pd.DataFrame) -> pd.DataFrame:
    """Return the median over seeds of the last validation loss; the loss of a diverged member is infinite."""
    grouped = last_epoch(records).groupby(["dataset", "value", "lr"])["val_loss"]
    return grouped.agg(median="median", n="size", diverged=lambda v: int(np.isinf(v).sum())).reset_index()


def edges(centers: np.ndarray) -> np.ndarray:
    """Return the borders of cells around ascending positions: midpoints, and as far outside at both ends."""
    middle = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middle[0]], middle, [2 * centers[-1] - middle[-1]]])


def value_grid(records: pd.DataFrame) -> Drawing:
    """Draw one panel per data set; ring each value's best cell, cross cells with an infinite median."""
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
        plain = FuncFormatter(lambda loss, _: f"{loss:g}")
        norm = LogNorm(np.nanmin(finite), min(np.nanmax(finite), 30 * np.nanmin(finite)))
        rates, values = (axis.to_numpy(dtype=float) for axis in (grid.columns, grid.index))
        image = ax.pcolormesh(10 ** edges(np.log10(rates)), edges(values), finite, norm=norm, cmap="viridis_r")
        for i, j in zip(*np.nonzero(~np.isfinite(grid.to_numpy())), strict=True):
            ax.plot(rates[j], values[i], marker="x", color="0.5", markersize=3)
        learned = 0.95 * float(own.loc[own["epoch"] == 0, "val_loss"].median())
        for value, row in zip(values, finite, strict=True):
            if np.nanmin(row, initial=np.inf) < learned:
                ring: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "color": RED, "markersize": 4}
                ax.plot(rates[np.nanargmin(row)], value, **ring)
        log_lr_axis(ax)
        ax.set_ylabel("value of the fixed weights")
        ax.set_title(f"{DATASETS.get(name, name)}, after {epoch} epochs")
        bar = figure.colorbar(
            image, ax=ax, label="median validation loss", extend="max", format=plain, ticks=LogLocator(subs=(1, 2, 5))
        )
        bar.minorticks_off()
        tables.append(table)
        budgets.append(f"{epoch} epochs on {DATASETS.get(name, name)}")
    seeds = records["seed"].nunique()
    caption = (
        f"Validation loss of SGD in fixed-weight space after {', '.join(budgets)}: median of {seeds} seeds, a"
        " diverged one counted as infinite. Rings: the best learning rate of each value, where"
        " anything was learned; crosses: infinite median."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
