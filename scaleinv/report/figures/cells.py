"""Cells in the plane by width, bias, depth and training, exactly and with grids (P, figures 2.5 to 2.13)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scaleinv.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PAGE, PURPLE, RED, SKY, Drawing, panels, styled
from scaleinv.report.methods import refuse_several

EXPERIMENT = "cells"
EXACT, PLANE = "exact", "whole plane"
COLORS = (ORANGE, RED, PURPLE, SKY, GREEN, BLUE)


def medians(records: pd.DataFrame) -> pd.DataFrame:
    """Return the median count and its range over seeds (and planes)."""
    by = ["part", "setting", "x", "layer", "half_width", "method"]
    return records.groupby(by, sort=False)["count"].agg(median="median", low="min", high="max", n="size").reset_index()


def _lines(ax: Axes, table: pd.DataFrame, by: str) -> None:
    """Draw the median against x, one line per value of a column; exact counts in black."""
    others = [value for value in dict.fromkeys(table[by]) if value not in (EXACT, PLANE)]
    colors = dict(zip(others, COLORS * 4, strict=False)) | {EXACT: BLACK, PLANE: "0.6"}
    for value, own in table.groupby(by, sort=False):
        own = own.sort_values("x")
        ax.plot(own["x"], own["median"], color=colors[value], marker=".", label=str(value))
        ax.fill_between(own["x"], own["low"], own["high"], color=colors[value], alpha=0.15, linewidth=0)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the four parts of the study."""
    refuse_several(records, "run")
    table = medians(records)
    figure, (width, bias, depth, training) = panels(2, 2, PAGE + 1, 5.2)
    part = dict(iter(table.groupby("part", sort=False)))
    _lines(width, part["width"], "method")
    top = part["width"]["high"].max()
    few = np.arange(1, int(np.log2(top)) + 1)
    width.plot(few, 2.0**few, color="0.6", linestyle=":", label="2^width")
    width.set(xscale="log", yscale="log", xlabel="width of one hidden layer", ylabel="cells of the layer")
    _lines(bias, part["bias"], "method")
    bias.set(xlabel=f"bias of all nodes, {part['bias']['setting'].iloc[0]}", ylabel="cells of the layer")
    exact = part["depth"][part["depth"]["method"] == EXACT]
    _lines(depth, exact, "setting")
    depth.set(yscale="log", xlabel="layer", ylabel="patterns of the layer, exact")
    trained = part["training"]
    small = trained[(trained["method"] == EXACT)]
    small = small.assign(line="layer " + small["layer"].astype(str))
    _lines(training, small, "line")
    training.set(yscale="log", xlabel="epoch", ylabel="patterns of the layer, exact, |u|, |v| < 1")
    for ax in (depth, training):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for ax in (width, bias, depth, training):
        ax.legend(fontsize=5.5)
    seeds = records.loc[records["part"] == "width"].groupby(["x", "method"]).size().max()
    caption = (
        "Activation patterns of one layer on a square of the plane, |x| < 5 (training: on planes through three images,"
        f" |u|, |v| < 1). Lines: medians, bands: ranges over n = {seeds} seeds (training: seeds and planes). exact:"
        " polygons cut in float64, of one layer the arrangement of its lines; grid n: patterns at n x n points; whole"
        " plane: lines in general position. Weights from N(0, 2 / fan-in); batch norm with the statistics of standard"
        " normal points, frozen."
    )
    return Drawing(figure, table, caption)
