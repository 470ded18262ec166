"""Forest plots: effects with their intervals in units of their margins, and the zone of equivalence."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scaleinv.report.effects.verdicts import CONFIRMED, EQUIVALENT, REFUTED
from scaleinv.report.figures.style import BLUE, COLUMN, GREEN, PAGE, RED, Drawing, panels, styled

COLOURS = {CONFIRMED: BLUE, REFUTED: RED, EQUIVALENT: GREEN}
FARTHEST = 100.0
TICKS = (-100, -10, -1, 0, 1, 10, 100)


def forests(groups: Mapping[str, pd.DataFrame], xlabel: str) -> tuple[Figure, Figure]:
    """Draw groups of effects below each other, at the width of a page and at that of a column.

    Args:
        groups: by heading, rows with ``name``, ``verdict``, the effect (``value``, ``low``, ``high``) in its own units,
            and in units of its margin (``scaled``, ``scaled_low``, ``scaled_high``).
        xlabel: label of the axis.
    """
    return _forest(groups, xlabel, PAGE + 1, is_narrow=False), _forest(groups, xlabel, COLUMN, is_narrow=True)


def _forest(groups: Mapping[str, pd.DataFrame], xlabel: str, width: float, is_narrow: bool) -> Figure:
    """Draw one forest; in a narrow one the names stand above the lines, not beside them."""
    figure, (ax,) = panels(1, width=width, height=1.0)
    ax.axvspan(-1, 1, color="#DDDDDD", linewidth=0)
    ax.axvline(0, color="black", linewidth=0.5)
    beside: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "va": "center"}
    position, labels, step = 0.0, [], 2.0 if is_narrow else 1.0
    for heading, rows in groups.items():
        position += 1.3
        at, side = (0.0, "left") if is_narrow else (-0.01, "right")
        ax.annotate(heading, (at, position), ha=side, fontsize=6, fontweight="bold", **beside)
        for row in rows.to_dict("records"):
            position += step
            colour = COLOURS.get(row["verdict"], "#777777")
            value, low, high = np.clip(
                [row[key] for key in ("scaled", "scaled_low", "scaled_high")], -FARTHEST, FARTHEST
            )
            ax.plot([low, high], [position, position], color=colour, linewidth=1)
            ax.plot([value], [position], color=colour, marker="o", markersize=2.5)
            text = f" {row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            if is_narrow:
                words = f"{row['name']}:{text}"
                ax.annotate(words, (0, position - 0.9), fontsize=5.5, color=colour, **beside)
            else:
                ax.annotate(f"{text}  {row['verdict']}", (1, position), fontsize=5.5, color=colour, **beside)
                labels.append((position, row["name"]))
    ax.set_yticks([height for height, _ in labels], [name for _, name in labels], fontsize=5.5)
    figure.set_size_inches(width, 0.8 + 0.115 * (position + 1) + 0.12 * xlabel.count("\n"))
    ax.set_ylim(position + 1, 0.3)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(-FARTHEST, FARTHEST)
    ax.set_xticks(TICKS, list(map(str, TICKS)))
    ax.xaxis.minorticks_off()
    ax.set_xlabel(xlabel)
    return figure


@styled
def draw(table: pd.DataFrame, first: str, second: str) -> Drawing:
    """Draw the effects of one method against another.

    Args:
        table: from :func:`scaleinv.report.compare.compare`.
        first: name of the first method.
        second: name of the second.
    """
    named = table.assign(name=table["effect"])
    groups = {str(dataset): rows for dataset, rows in named.groupby("dataset", sort=False)}
    directions = [fill(f"{side}: {name} is better", 60) for side, name in (("left", first), ("right", second))]
    page, column = forests(groups, "\n".join(["effect / its margin", *directions]))
    counted = ", ".join(sorted({f"{row['n']} {row['of']}" for row in table.to_dict("records")}))
    caption = (
        f"{first} against {second}. Point and line: effect with 95 % interval, in units of its margin; grey area: zone"
        f" of equivalence; blue: {first} is better, red: it is not, green: equivalent, grey: undecided. n = {counted}."
        " Percentages of widths are of (loss before training - best loss)."
        " Numbers at the right are in the effect's own units; the rule of every verdict is in the table beside."
    )
    return Drawing(page, table, caption, column=column)
