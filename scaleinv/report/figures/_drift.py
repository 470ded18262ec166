"""Accuracy and distance from the checkpoint over the epochs, one line per kernel: figures 3.1 to 3.3 of the source."""

from collections.abc import Mapping

import pandas as pd

from scaleinv.report.figures.curves import describe_n, legend_below
from scaleinv.report.figures.style import BLUE, GREEN, ORANGE, PAGE, PURPLE, RED, SKY, Drawing, panels
from scaleinv.report.pushes import checkpoint

COLOURS = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY)
MEASURES = {
    "val_accuracy": "validation accuracy",
    "weight_distance": "distance in weights",
    "balanced_distance": "distance in the balanced gauge",
}
BAND = "line: median over seeds; band: range; dotted: the checkpoint"


def drift(lines: Mapping[str, pd.DataFrame], what: str, measures: Mapping[str, str] = MEASURES) -> Drawing:
    """Draw some measures against the epoch.

    Args:
        lines: records of one kernel by label, all of one experiment.
        what: beginning of the caption.
        measures: label of the axis by column, one panel each.
    """
    figure, axes = panels(len(measures), width=PAGE + 1.2, height=2.7)
    tables = []
    for label, rows in lines.items():
        for measure in measures:
            spread = rows.groupby("epoch")[measure].agg(["median", "min", "max"]).dropna()
            tables.append(spread.reset_index().assign(line=label, measure=measure))
    table = pd.concat(tables, ignore_index=True)
    for ax, (measure, text) in zip(axes, measures.items(), strict=True):
        for (label, rows), colour in zip(lines.items(), COLOURS * len(lines), strict=False):
            own = table[(table["line"] == label) & (table["measure"] == measure)]
            ax.plot(own["epoch"], own["median"], color=colour, label=label)
            ax.fill_between(own["epoch"], own["min"], own["max"], color=colour, alpha=0.12, linewidth=0)
            ax.axvline(checkpoint(rows), color="grey", linewidth=0.6, linestyle=":")
        ax.set_xlabel("epoch")
        ax.set_ylabel(text)
    legend_below(figure, [axes[0]], 4)
    records = pd.concat(lines.values())
    return Drawing(figure, table, f"{what}; {BAND}. {describe_n(records)}.")
