"""SGD in weight space, G-space and fixed-weight space, against the learning rate (thesis, figure 4.10)."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "fig_4_10"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return lr_figure(records, "Best validation loss of SGD against the learning rate; fixed weights are set to 1.")
