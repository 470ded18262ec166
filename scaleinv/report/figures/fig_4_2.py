"""The same methods at their best learning rates, epoch by epoch (thesis, figure 4.2)."""

import pandas as pd

from scaleinv.report.figures.curves import epoch_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "fig_4_1"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return epoch_figure(records, "Validation loss at each method's best learning rate.")
