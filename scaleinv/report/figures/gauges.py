"""Gauges during training: none, balanced, ENorm and teleportation."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "gauges"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw all optimizers and gauges in one panel per data set."""
    return lr_figure(
        records,
        "Best validation loss against the learning rate, with other weights of the same function taken between steps.",
    )
