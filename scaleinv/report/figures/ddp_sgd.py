"""DDP-SGD between Path-SGD and the natural gradient."""

import pandas as pd

from scaleinv.report.figures._alphas import alpha_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "ddp_sgd"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against alpha, one line per moment."""
    what = "DDP-SGD, with kappa estimated from one vector of random signs per step: best validation loss against alpha."
    ends = ("Path-SGD", "outputs only")
    return alpha_figure(records, "optimizer.alpha", "optimizer.moment", what, ends)
