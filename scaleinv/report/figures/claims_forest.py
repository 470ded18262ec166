"""All deciding cases of all claims as one forest plot, in units of their margins."""

from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.figures._studies import inputs_of
from scaleinv.report.figures.forest import FARTHEST, forests
from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.judging import judge_all


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
    sizes = scaled(rows).add_prefix("scaled_").rename(columns={"scaled_effect": "scaled"})
    shown = pd.concat([rows.rename(columns={"case": "name", "effect": "value"}), sizes], axis=1)
    groups = {
        f"{str(claim).replace('_', ' ')} ({cases.iloc[0]['source']}): {cases.iloc[0]['claim_verdict']}": cases
        for claim, cases in shown.groupby("claim", sort=False)
    }
    page, column = forests(groups, "effect / its margin")
    exact = int((table["decides"] & ~(margin > 0)).sum())
    caption = (
        f"The {len(rows)} cases that decide the claims, grouped by claim: effect with 95 % interval in units of its"
        " margin (log ratios for ratios); grey area: zone of equivalence. Blue: the claim is confirmed in this case,"
        " red: refuted, green: no effect, grey: undecided. Numbers at the right are in the effect's own units."
        f" {exact} exact counts without a margin are left out. Rules and n are in the table beside."
    )
    columns = ["claim", "case", "verdict", "effect", "low", "high", "n", "of", "p", "holm", "zone_low", "zone_high"]
    return Drawing(page, rows[columns], caption, latex=True, column=column)


def draw_study(folder: Path) -> tuple[Drawing, list[Path]]:
    """Judge the claims of a study and draw the cases."""
    return draw(judge_all(folder)), inputs_of(folder)
