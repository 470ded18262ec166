"""Loss against learning rate for any runs: one curve per method, one panel per data set."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = None


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the best validation loss of each method at each learning rate."""
    return lr_figure(records, "Best validation loss against the learning rate.")
