"""Patterns from one start at one temperature in every space: what the parametrisation does beside the step size."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n, legend_below
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "pattern_spaces"
SHOWN = {
    "val_loss": "validation loss",
    "distance_mean": "share of patterns changed per step",
    "relative_entropy": "relative entropy",
    "weighted_jaccard_start": "weighted Jaccard to the start",
}


def by_epoch(records: pd.DataFrame) -> pd.DataFrame:
    """Return by method, seed and epoch the numbers shown; those of patterns are means over the layers."""
    refuse_several(records, "dataset")
    named = with_methods(records)
    table = named[["method", "seed", "epoch", "val_loss", "distance_mean"]].copy()
    for measure in ("relative_entropy", "weighted_jaccard_start"):
        layers = named.filter(regex=rf"^patterns_\d+_{measure}$")  # not those of the global pattern
        table[measure] = layers.mean(axis=1)
    return table


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw four numbers against the epoch, one line per space."""
    table = by_epoch(records)
    figure, axes = panels(2, 2, PAGE + 1, 5.2)
    for ax, (measure, label) in zip(axes, SHOWN.items(), strict=True):
        for method, how in method_styles(table["method"]).items():
            seeds = table[table["method"] == method].groupby("epoch")[measure].agg(["median", "min", "max"]).dropna()
            ax.plot(seeds.index, seeds["median"], label=how.label, **how.style)
            ax.fill_between(seeds.index, seeds["min"], seeds["max"], color=how.style["color"], alpha=0.1, linewidth=0)
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
    axes[0].set_yscale("log")
    legend_below(figure, [axes[0]], 3)
    caption = (
        "SGD in every space from the same functions, with learning rates by ActCooLR: each step changes the same share"
        " of the batch's patterns in all of them, cooled linearly. Entropy and weighted Jaccard index are means"
        " over the layers. Median and range over seeds."
        f" {DATASETS.get(records['dataset'].iloc[0], '')}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
