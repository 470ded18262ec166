"""What G-Adam lost by forgetting its state at every step, as in the published code; the same for momentum."""

import pandas as pd

from scaleinv.report.figures.curves import BAND, DATASETS, STAR, datasets_of, describe_n, legend_below, lr_curves
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import with_methods

EXPERIMENT = "memory"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against the learning rate: one column per data set, one row per space."""
    named = with_methods(records)
    names, spaces = datasets_of(named), ["weight", "gspace"]
    figure, axes = panels(len(names), 2, PAGE + 1 if len(names) > 1 else 4.6, 5.2)
    styles, tables = method_styles(named["method"]), []
    for i, space in enumerate(spaces):
        for j, name in enumerate(names):
            ax = axes[i * len(names) + j]
            tables.append(lr_curves(ax, named[(named["dataset"] == name) & (named["space"] == space)], styles=styles))
            ax.set_title(f"{DATASETS.get(name, name)}, {'weight space' if space == 'weight' else 'G-space'}")
    for j in range(len(names)):  # rows are compared, so they have one scale
        pair = axes[j :: len(names)]
        ends = [end for ax in pair for end in ax.get_ylim()]
        for ax in pair:
            ax.set_ylim(min(ends), max(ends))
    legend_below(figure, axes, 2)
    caption = (
        "Best validation loss against the learning rate of optimizers that keep their state and of Adam that forgets it"
        " after every step, as published (sign descent). Momentum that forgets is plain SGD, exactly."
        f" {describe_n(named)}. {BAND}; {STAR}."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
