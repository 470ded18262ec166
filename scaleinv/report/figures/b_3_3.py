"""Accuracy and distance for several widths (B, figure 3.3)."""

import pandas as pd

from scaleinv.report.figures._drift import MEASURES, drift
from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.pushes import cell, strengths, usual, widths

EXPERIMENT = "push"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw every width at the ordinary strength, and no kernel; with the share of the way along the orbit."""
    strength, width = usual(records)
    lines = {"no kernel": cell(records, strengths(records)[0], width)}
    lines |= {f"width {w:g}": cell(records, strength, w) for w in widths(records)}
    more = MEASURES | {"orbit_share": "share of the squared way\nalong the orbit"}
    return drift(lines, f"Widths of the kernel at strength {strength:g}", more)
