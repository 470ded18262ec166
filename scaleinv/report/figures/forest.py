"""A forest plot: effects with their intervals, in units of their margins, and the zone of equivalence."""

from textwrap import fill

import numpy as np
import pandas as pd

from scaleinv.report.effects.verdicts import CONFIRMED, EQUIVALENT, REFUTED
from scaleinv.report.figures.style import BLUE, GREEN, PAGE, RED, Drawing, panels, styled

COLOURS = {CONFIRMED: BLUE, REFUTED: RED, EQUIVALENT: GREEN}
FARTHEST = 1000.0


@styled
def draw(table: pd.DataFrame, first: str, second: str) -> Drawing:
    """Draw the effects of one method against another.

    Args:
        table: from :func:`scaleinv.report.compare.compare`.
        first: name of the first method.
        second: name of the second.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    most = int(table["dataset"].value_counts().max())
    figure, axes = panels(1, len(datasets), PAGE, 0.8 + len(datasets) * (0.45 + 0.21 * most))
    for ax, dataset in zip(axes, datasets, strict=True):
        rows = table[table["dataset"] == dataset].reset_index(drop=True)
        ax.axvspan(-1, 1, color="#DDDDDD", linewidth=0)
        ax.axvline(0, color="black", linewidth=0.5)
        for position, row in rows.iterrows():
            colour = COLOURS.get(row["verdict"], "#777777")
            ends = np.clip([row["scaled_low"], row["scaled_high"]], -FARTHEST, FARTHEST)
            ax.plot(ends, [position, position], color=colour)
            ax.plot(np.clip([row["scaled"]], -FARTHEST, FARTHEST), [position], color=colour, marker="o")
            text = f" {row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]  {row['verdict']}"
            ax.annotate(text, (1, position), xycoords=ax.get_yaxis_transform(), va="center", fontsize=6, color=colour)
        ax.set_yticks(range(len(rows)), list(rows["effect"]), fontsize=6)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xscale("symlog", linthresh=1)
        reach = np.clip(rows[["scaled_low", "scaled_high"]].abs().to_numpy(), 0, FARTHEST).max()
        ax.set_xlim(-1.5 * max(reach, 2), 1.5 * max(reach, 2))
        ticks = [tick for tick in (-100, -10, -1, 0, 1, 10, 100) if abs(tick) <= 1.5 * max(reach, 2)]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.minorticks_off()
        ax.set_title(str(dataset), loc="left")
    directions = [fill(f"{side}: {name} is better", 80) for side, name in (("left", first), ("right", second))]
    axes[-1].set_xlabel("\n".join(["effect / its margin", *directions]))
    counted = ", ".join(sorted({f"{row['n']} {row['of']}" for row in table.to_dict("records")}))
    caption = (
        f"{first} against {second}. Point and line: effect with 95 % interval, in units of its margin; grey area: zone"
        f" of equivalence; blue: {first} is better, red: it is not, green: equivalent, grey: undecided. n = {counted}."
        " Percentages of widths are of (loss before training - best loss)."
        " Numbers at the right are in the effect's own units; the rule of every verdict is in the table beside."
    )
    return Drawing(figure, table, caption)
