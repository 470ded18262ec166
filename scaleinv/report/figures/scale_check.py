"""Which methods notice that a network was rescaled? An invariant one draws one line, the others two."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from scaleinv.report.figures.style import BLACK, BLUE, COLUMN, GREEN, ORANGE, PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several

EXPERIMENT = "scale_check"
# Differences below this, 0 included, are drawn here: it is below the round-off of float64.
SMALLEST = 1e-17


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss from W and from a rescaled W: one column per space, one row per optimizer and mode."""
    refuse_several(records, "run")
    spaces = list(dict.fromkeys(records["space"]))
    rows = list(dict.fromkeys(zip(records["optimizer"], records["mode"], strict=True)))
    figure, axes = panels(len(spaces), len(rows), PAGE + 1.5, 1.25 * len(rows) + 0.4)
    for i, (optimizer, mode) in enumerate(rows):
        for j, space in enumerate(spaces):
            ax = axes[i * len(spaces) + j]
            part = records[
                (records["space"] == space) & (records["optimizer"] == optimizer) & (records["mode"] == mode)
            ]
            for start, color, width in (("rescaled W", ORANGE, 2.6), ("W", BLACK, 1.0)):
                line = part[part["start"] == start]
                ax.plot(line["step"], line["loss"], label=start, color=color, linewidth=width)
            first = part.loc[part["start"] == "W", "loss"].iloc[0]
            top = min(part["loss"].max(), 2.2 * first)
            shown = part.loc[part["loss"] <= top, "loss"]
            margin = 0.08 * (top - shown.min())
            ax.set_ylim(shown.min() - margin, top + margin)
            gap = part["difference"].iloc[0]
            ax.set_title(f"difference {gap:.0e}", fontsize=6, pad=2, color=BLACK)
            if i == 0:
                ax.annotate(space, (0.5, 1.32), xycoords="axes fraction", ha="center", fontweight="bold", fontsize=7.5)
            if j == 0:
                ax.set_ylabel(f"{optimizer}, rescaled\n{mode}\n\nloss", fontsize=7)
            if i == len(rows) - 1:
                ax.set_xlabel("step")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    dataset = records["dataset"].iloc[0]
    caption = (
        f"Loss on {dataset} while training from W (black) and from W with every hidden node rescaled at random"
        " (orange), with the same batches; one run each, float64. An invariant method draws one line. Above each"
        " panel (and alone in the column variant): the largest difference of the two losses, relative to the first"
        " loss; losses above the panel's top edge are cut off."
    )
    columns = ["space", "optimizer", "lr", "mode", "start", "step", "loss", "difference"]
    return Drawing(figure, records[columns], caption, column=_differences(records))


def _differences(records: pd.DataFrame) -> Figure:
    """Draw the largest difference of every method, which is what fits into a column: one row per space."""
    spaces = list(dict.fromkeys(records["space"]))
    ways = records.groupby(["optimizer", "mode"], sort=False)
    figure, (ax,) = panels(1, width=COLUMN, height=0.9 + 0.35 * len(spaces))
    for i, ((optimizer, mode), rows) in enumerate(ways):
        gaps = rows.groupby("space")["difference"].first().reindex(spaces).clip(lower=SMALLEST)
        heights = [place + 0.12 * (i - (len(ways) - 1) / 2) for place in range(len(spaces))]
        style: dict[str, Any] = {"marker": "os^v"[i % 4], "color": (BLACK, ORANGE, BLUE, GREEN)[i % 4]}
        ax.plot(gaps, heights, linestyle="", label=f"{optimizer}, rescaled {mode}", **style)
    ax.set_yticks(range(len(spaces)), spaces)
    ax.set_ylim(len(spaces) - 0.5, -0.5)
    ax.set_xscale("log")
    ax.set_xlabel("largest difference / first loss")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=1, fontsize=6)
    return figure
