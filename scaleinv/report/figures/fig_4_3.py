"""The same methods at a high and at a low learning rate (thesis, figure 4.3)."""

import pandas as pd

from scaleinv.report.figures.curves import datasets_of, epoch_figure
from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.members import nearest_lrs

EXPERIMENT = "fig_4_1"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    first = records[records["dataset"] == datasets_of(records)[0]]
    return epoch_figure(
        first, "Validation loss at a high and at a low learning rate.", nearest_lrs(first["lr"], (0.05, 0.0005))
    )
