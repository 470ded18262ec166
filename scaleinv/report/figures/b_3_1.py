"""Accuracy and distance with and without a kernel (B, figure 3.1)."""

import pandas as pd

from scaleinv.report.figures._drift import drift
from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.pushes import cell, strengths, usual

EXPERIMENT = "push"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the ordinary kernel and none, at the lowest and the highest learning rate."""
    strength, width = usual(records)
    lines = {}
    for lr in sorted({records["lr"].min(), records["lr"].max()}):
        lines[f"no kernel, lr {lr:g}"] = cell(records, strengths(records)[0], width, lr)
        lines[f"strength {strength:g}, width {width:g}, lr {lr:g}"] = cell(records, strength, width, lr)
    return drift(lines, "A kernel pushes away from the checkpoint, or does not")
