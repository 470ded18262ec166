"""SGD and Adam in weight space and in G-space, against the learning rate (thesis, figure 4.1)."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "fig_4_1"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return lr_figure(
        records,
        "Best validation loss against the learning rate, in weight space and in G-space. Adam without memory in G-space"
        " is what was published as G-Adam.",
    )
