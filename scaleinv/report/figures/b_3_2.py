"""Accuracy and distance for several strengths (B, figure 3.2)."""

import pandas as pd

from scaleinv.report.figures._drift import MEASURES, drift
from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.pushes import cell, strengths, usual

EXPERIMENT = "push"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw every strength at the middle width."""
    width = usual(records)[1]
    lines = {f"strength {s:g}": cell(records, s, width) for s in strengths(records)}
    more = MEASURES | {"disagreement": "disagreement with the checkpoint"}
    return drift(lines, f"Strengths of the kernel at width {width:g}", more)
