"""Weights fixed to 1 against weights fixed at their drawn values (thesis, figure 4.6)."""

import pandas as pd

from scaleinv.report.figures.curves import BAND, STAR, describe_n, epoch_curves, legend_below, lr_curves
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "fig_4_6"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against the learning rate, and epoch by epoch at the best one."""
    refuse_several(records, "dataset")
    named = with_methods(records)
    figure, axes = panels(2, width=PAGE + 1, height=3.4)
    tables = [
        lr_curves(axes[0], named).assign(panel="learning rate"),
        epoch_curves(axes[1], named).assign(panel="best learning rate"),
    ]
    axes[0].set_title("best validation loss")
    axes[1].set_title("at each method's best learning rate")
    legend_below(figure, axes[:1], 3)
    caption = f"Weights fixed to 1 (fixed) and where they are (fixed, kept). {describe_n(named)}. {BAND}; {STAR}."
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
