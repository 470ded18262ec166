"""SGD and Adam in weight space and in fixed-weight space, against the learning rate (thesis, figure 4.4)."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "fig_4_4"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return lr_figure(records, "Best validation loss against the learning rate; fixed weights are set to 1.")
