"""The same methods at their best learning rates, epoch by epoch (thesis, figure 4.5)."""

import pandas as pd

from scaleinv.report.figures.curves import epoch_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "fig_4_4"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return epoch_figure(records, "Validation loss at each method's best learning rate; fixed weights are set to 1.")
