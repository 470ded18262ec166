"""Ensembles at equal total epochs: what diversity buys, and averages of weights in two gauges."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, legend_below
from scaleinv.report.figures.style import BLUE, GREEN, ORANGE, PAGE, Drawing, panels, styled

EXPERIMENT = "ensembles"
WAYS = {
    "predictions": ("mean of predictions", BLUE, "o"),
    "weights": ("mean of weights", ORANGE, "s"),
    "balanced": ("mean in the balanced gauge", GREEN, "^"),
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw accuracy, negative log likelihood and diversity of every method and way to combine."""
    methods = list(dict.fromkeys(records["method_label"]))
    figure, axes = panels(3, width=PAGE + 2, height=0.28 * len(methods) + 1.2)
    table = records.groupby(["method_label", "combine"], sort=False)[["accuracy", "nll", "diversity"]].agg(
        ["median", "min", "max"]
    )
    table.columns = pd.Index([f"{pair[0]}_{pair[1]}" for pair in table.columns])
    table = table.reset_index()
    for ax, (measure, text) in zip(
        axes,
        {"accuracy": "accuracy", "nll": "negative log likelihood", "diversity": "disagreement / error"}.items(),
        strict=True,
    ):
        for shift, (way, (label, colour, marker)) in zip((-0.2, 0.0, 0.2), WAYS.items(), strict=True):
            own = table[table["combine"] == way]
            if measure == "diversity" and way != "predictions":
                continue
            places = [methods.index(method) + shift for method in own["method_label"].tolist()]
            middle = own[f"{measure}_median"]
            ends = [middle - own[f"{measure}_min"], own[f"{measure}_max"] - middle]
            ax.errorbar(
                middle, places, xerr=ends, color=colour, marker=marker, linestyle="", label=label, linewidth=0.6
            )
        ax.set_xlabel(text)
        ax.set_yticks(range(len(methods)), methods if ax is axes[0] else [""] * len(methods))
        ax.invert_yaxis()
    legend_below(figure, [axes[0]], 3)
    name = records["dataset"].iloc[0]
    caption = (
        f"Ensembles at equal total epochs on {DATASETS.get(str(name), name)}; n = {records['seed'].nunique()} seeds;"
        " points: median; bars: range. Diversity is the disagreement of two networks over the mean error of one."
    )
    return Drawing(figure, table, caption)
