"""All deciding cases of all claims as one forest plot, in units of their margins."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scaleinv.report.effects.verdicts import CONFIRMED, EQUIVALENT, REFUTED
from scaleinv.report.figures._studies import inputs_of
from scaleinv.report.figures.style import BLUE, COLUMN, GREEN, PAGE, RED, Drawing, panels, styled
from scaleinv.report.judging import judge_all

COLOURS = {CONFIRMED: BLUE, REFUTED: RED, EQUIVALENT: GREEN}
FARTHEST = 100.0


def scaled(table: pd.DataFrame) -> pd.DataFrame:
    """Return effect and interval in units of the margin (log ratios for ratios): the zone of equivalence is -1 to 1."""
    ends = table[["effect", "low", "high", "zone_high"]].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = pd.DataFrame(np.log(ends.to_numpy()), ends.index, ends.columns)
    ends = ends.where(~table["is_ratio"].astype(bool), logs)
    return ends[["effect", "low", "high"]].div(ends["zone_high"], axis=0).clip(-FARTHEST, FARTHEST)


@styled
def draw(table: pd.DataFrame) -> Drawing:
    """Draw the table of :func:`scaleinv.report.judging.judge_all`."""
    margin = table["zone_high"].where(~table["is_ratio"].astype(bool), table["zone_high"] - 1)
    rows = table[table["decides"] & (margin > 0)].reset_index(drop=True)
    forests = [_forest(rows, width, is_narrow) for width, is_narrow in ((PAGE + 1, False), (COLUMN, True))]
    exact = int((table["decides"] & ~(margin > 0)).sum())
    caption = (
        f"The {len(rows)} cases that decide the claims, grouped by claim: effect with 95 % interval in units of its"
        " margin (log ratios for ratios); grey area: zone of equivalence. Blue: the claim is confirmed in this case,"
        " red: refuted, green: no effect, grey: undecided. Numbers at the right are in the effect's own units."
        f" {exact} exact counts without a margin are left out. Rules and n are in the table beside."
    )
    columns = ["claim", "case", "verdict", "effect", "low", "high", "n", "of", "p", "holm", "zone_low", "zone_high"]
    return Drawing(forests[0], rows[columns], caption, latex=True, column=forests[1])


def _forest(rows: pd.DataFrame, width: float, is_narrow: bool) -> Figure:
    """Draw the cases below each other; in a narrow figure the names stand above the lines, not beside them."""
    step = 2.0 if is_narrow else 1.0
    figure, (ax,) = panels(1, width=width, height=1.0)
    ax.axvspan(-1, 1, color="#DDDDDD", linewidth=0)
    ax.axvline(0, color="black", linewidth=0.5)
    sizes, position, labels = scaled(rows).to_numpy(), 0.0, []
    beside: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "va": "center"}
    for claim, cases in rows.groupby("claim", sort=False):
        position += 1.3
        first = cases.iloc[0]
        words = f"{str(claim).replace('_', ' ')} ({first['source']}): {first['claim_verdict']}"
        at, side = (0.0, "left") if is_narrow else (-0.01, "right")
        ax.annotate(words, (at, position), ha=side, fontsize=6, fontweight="bold", **beside)
        for index, row in zip(cases.index.to_list(), cases.to_dict("records"), strict=True):
            position += step
            colour = COLOURS.get(row["verdict"], "#777777")
            value, low, high = sizes[index]
            ax.plot([low, high], [position, position], color=colour, linewidth=1)
            ax.plot([value], [position], color=colour, marker="o", markersize=2.5)
            text = f" {row['effect']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            if is_narrow:
                ax.annotate(f"{row['case']}:{text}", (0, position - 0.9), fontsize=5.5, color=colour, **beside)
            else:
                ax.annotate(text, (1, position), fontsize=5.5, color=colour, **beside)
                labels.append((position, row["case"]))
    ax.set_yticks([height for height, _ in labels], [name for _, name in labels], fontsize=5.5)
    figure.set_size_inches(width, 0.7 + 0.115 * (position + 1))
    ax.set_ylim(position + 1, 0.3)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(-FARTHEST, FARTHEST)
    ax.set_xticks([-100, -10, -1, 0, 1, 10, 100], ["-100", "-10", "-1", "0", "1", "10", "100"])
    ax.xaxis.minorticks_off()
    ax.set_xlabel("effect / its margin")
    return figure


def draw_study(folder: Path) -> tuple[Drawing, list[Path]]:
    """Judge the claims of a study and draw the cases."""
    return draw(judge_all(folder)), inputs_of(folder)
