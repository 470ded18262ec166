"""Every optimizer in every space and gauge: measured invariance defect and cost of a step."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap

from scaleinv.report.figures.curves import DATASETS
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several

EXPERIMENT = "invariance_table"
# Pale where a method does not notice, dark where it does.
COLORS = LinearSegmentedColormap.from_list("defect", ["#f2f7f2", "#cfe3d4", "#f4c58a", "#d65f3a"])
ROUND_OFF = -16.0


def worst(records: pd.DataFrame) -> pd.DataFrame:
    """Return the largest defect over the seeds per method and mode, for random numbers and powers of two; and cost."""
    refuse_several(records, "run")
    by = ["space", "gauge", "optimizer", "mode"]
    table = records.pivot_table(index=by, columns="scales", values="defect", aggfunc="max", sort=False)
    cost = records.groupby(by, sort=False)["cost"].first()
    return table.assign(cost=cost).reset_index()


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per mode, a row per optimizer and a column per space and gauge."""
    table = worst(records)
    first = table["gauge"].iloc[0]
    column = table["space"] + np.where(table["gauge"] == first, "", ",\n" + table["gauge"].map(lambda g: fill(g, 14)))
    table = table.assign(column=column)
    columns, optimizers = list(dict.fromkeys(column)), list(dict.fromkeys(table["optimizer"]))
    modes = list(dict.fromkeys(table["mode"]))
    figure, axes = panels(1, len(modes), PAGE / 6 * len(columns) + 1.5, (0.24 * len(optimizers) + 0.8) * len(modes))
    for ax, mode in zip(axes, modes, strict=True):
        own = table[table["mode"] == mode].set_index(["optimizer", "column"])
        sizes = np.full((len(optimizers), len(columns)), np.nan)
        for (optimizer, name), row in own.iterrows():
            i, j = optimizers.index(optimizer), columns.index(name)
            defect, exact = row["random numbers"], row["powers of two"] == 0
            sizes[i, j] = np.log10(max(defect, 10**ROUND_OFF)) if np.isfinite(defect) else 1.0
            text = f"{defect:.0e}" if np.isfinite(defect) else "diverges"
            words = f"{text}{', exact' if exact else ''}   {row['cost']:.1f}x"
            ax.text(j, i, words, ha="center", va="center", fontsize=5)
        ax.imshow(sizes, cmap=COLORS, vmin=ROUND_OFF, vmax=1.0, aspect="auto")
        ax.set_xticks(range(len(columns)), columns, fontsize=6)
        ax.set_yticks(range(len(optimizers)), optimizers, fontsize=6)
        ax.tick_params(length=0)
        ax.set_title(f"W rescaled {mode}" + (" training" if mode == modes[0] else ""))
        ax.grid(visible=False)
    seeds, dataset = records["seed"].nunique(), records["dataset"].iloc[0]
    caption = (
        "By how much a method notices that a network was rescaled: training from W and from W with every hidden node"
        " rescaled at random, with the same batches, in float64; largest difference of an output after the last step"
        " over the largest output, largest over seeds. exact: no bit differs where the rescaling is by powers of two."
        " x: median time of a step over that of SGD in weight space, taking turns."
        f" {DATASETS.get(dataset, dataset)}; n = {seeds} seeds."
    )
    return Drawing(figure, table.drop(columns="column"), caption)
