"""Spaces compared from one start: each space's loss over that of weight space, seed by seed."""

import numpy as np
import pandas as pd

from scaleinv.report.effects.choice import choose, log_ratios, loss_ratio, loss_tables
from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.methods import SPACES
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods
from scaleinv.runs.errors import UserError

EXPERIMENT = "start_or_space"
STARTS = {"default": "default start", "overwritten": "overwritten start"}


def ratios(records: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ratios with intervals, one row per start, optimizer and space; and the ratios of single seeds."""
    refuse_several(records, "dataset")
    named = with_methods(records, ["start.name"])
    rows, seeds = [], []
    for (start, optimizer), own in named.groupby(["start.name", "optimizer_name"], sort=False):
        spaces = [space for space in SPACES if space in set(own["space_name"])]
        tables = {space: loss_tables(own[own["space_name"] == space], "best epoch") for space in spaces}
        chosen = {space: choose(*table) for space, table in tables.items()}
        for space in spaces:
            if space == "weight":
                continue
            estimate = loss_ratio(chosen[space], chosen["weight"])
            head = {"start": start, "optimizer": optimizer, "space": space}
            at_edge = chosen[space].at_edge or chosen["weight"].at_edge
            ends = {"ratio": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
            rows.append(head | ends | {"at_edge": at_edge})
            single = np.exp(log_ratios(chosen[space].losses, chosen["weight"].losses))
            seeds += [head | {"ratio": float(one)} for one in single]
    if not rows:
        raise UserError("there is no space to compare with weight space")
    return pd.DataFrame(rows), pd.DataFrame(seeds)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per optimizer: spaces in rows, the two starts one above the other."""
    table, seeds = ratios(records)
    optimizers = list(dict.fromkeys(table["optimizer"]))
    figure, axes = panels(len(optimizers), width=PAGE + 1, height=2.8)
    for ax, optimizer in zip(axes, optimizers, strict=True):
        spaces = list(dict.fromkeys(table.loc[table["optimizer"] == optimizer, "space"]))
        for i, space in enumerate(spaces):
            color, marker = SPACES[space]
            for shift, start in ((-0.18, "default"), (0.18, "overwritten")):
                face = "white" if start == "default" else color
                is_arm = (table["space"] == space) & (table["start"] == start) & (table["optimizer"] == optimizer)
                single = seeds[(seeds["space"] == space) & (seeds["start"] == start)]
                single = single.loc[single["optimizer"] == optimizer, "ratio"]
                ax.plot(single, np.full(len(single), i + shift), "|", color=color, alpha=0.5, markersize=5)
                for row in table[is_arm].to_dict("records"):
                    ax.plot([row["low"], row["high"]], [i + shift] * 2, color=color)
                    ax.plot([row["ratio"]], [i + shift], marker=marker, color=color, markerfacecolor=face)
                    if row["at_edge"]:
                        ax.annotate("edge", (row["high"], i + shift), fontsize=5, va="center", xytext=(3, 0),
                                    textcoords="offset points")  # fmt: skip
        ax.axvline(1, color="0.6", linewidth=0.6)
        ax.set_yticks(range(len(spaces)), spaces)
        ax.set_ylim(len(spaces) - 0.5, -0.5)
        ax.set_xscale("log")
        ticks = [0.5, 1, 2, 5, 10, 20]
        low, high = table["low"].min(), table["high"].max()
        shown = [tick for tick in ticks if 0.8 * low <= tick <= 1.2 * high]
        ax.set_xticks(shown, [f"{tick:g}" for tick in shown])
        ax.xaxis.minorticks_off()
        ax.set_xlabel("loss over that of weight space")
        ax.set_title(f"{optimizer}: default start (hollow), overwritten (filled)")
    name = DATASETS.get(records["dataset"].iloc[0], "")
    caption = (
        "Best validation loss of each space over that of weight space from the same start, with 95 % intervals"
        " (Student's t on paired log ratios, each seed's learning rate chosen on the others); ticks: seeds; edge: a"
        f" best learning rate at the edge of the grid. {name}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption, latex=True)
