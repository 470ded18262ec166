"""Accuracy against the number of coin tosses per weight: in place, trained so, in four gauges; few bits, pruning."""

import pandas as pd
from matplotlib.axes import Axes

from scaleinv.report.figures.curves import DATASETS
from scaleinv.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PAGE, PURPLE, RED, SKY, Drawing, panels, styled
from scaleinv.report.tosses import IN_PLACE, networks, tosses

EXPERIMENT = "binarization"
COLOURS = (BLACK, BLUE, GREEN, ORANGE, RED, PURPLE, SKY)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one row of panels per network: training, gauges, bits and pruning."""
    rows = networks(records)
    figure, axes = panels(3, rows=len(rows), width=PAGE + 2, height=2.5 * len(rows) + 0.4)
    tables = []
    for i, network in enumerate(rows):
        own = records[records["network"] == network]
        left, middle, right = axes[3 * i : 3 * i + 3]
        ways = list(dict.fromkeys(own["trained"]))
        for way, colour in zip(ways, COLOURS, strict=False):
            part = tosses(own, "samples", way, gauge="trained", folded=way == IN_PLACE)
            tables.append(_line(left, part, way, colour).assign(network=network, panel="training"))
        for gauge, colour in zip(dict.fromkeys(tosses(own, "samples")["gauge"]), COLOURS, strict=False):
            part = tosses(own, "samples", gauge=gauge, folded=True)
            tables.append(_line(middle, part, str(gauge), colour).assign(network=network, panel="gauge"))
        for name, column, colour in (("bits of p", "bits", BLUE), ("share pruned", "pruned", ORANGE)):
            part = tosses(own, "bits" if column == "bits" else "pruning")
            ranked = sorted(set(part[column]), key=lambda v: (v != 0, -v if column == "bits" else v))
            for place, value in enumerate(ranked):
                draws = part.loc[part[column] == value, "accuracy"]
                shift = place + (0.1 if column == "bits" else -0.1)
                right.plot([shift] * len(draws), draws, ".", color=colour, label=name if place == 0 else None)
                right.annotate(f"{value:g}" if value else "all" if column == "bits" else "0", (shift, draws.max()))
                tables.append(pd.DataFrame({"line": name, "samples": value, "accuracy": draws, "network": network}))
        left.set_ylabel(f"{network}: accuracy")
        right.set_xticks([])
        for ax in (left, middle, right):
            ax.legend()
    for ax in axes[-3:-1]:
        ax.set_xlabel("coin tosses per weight")
    name = str(records["dataset"].iloc[0])
    caption = (
        f"Networks on {DATASETS.get(name, name)} whose weights are read by coin tosses; line: median over seeds and"
        " draws; band: range; dashes: floats. Left: trained in floats and read in place, and trained with tosses."
        " Middle: the same networks in four gauges of the same function. Right: few bits of the probability (fewer to"
        f" the right) and pruned weights. n = {records['seed'].nunique()} seeds, {records['draw'].nunique()} draws."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)


def _line(ax: Axes, part: pd.DataFrame, label: str, colour: str) -> pd.DataFrame:
    tossed = part[part["samples"] > 0]
    spread = tossed.groupby("samples")["accuracy"].agg(["median", "min", "max"]).reset_index()
    ax.plot(spread["samples"], spread["median"], color=colour, label=label)
    ax.fill_between(spread["samples"], spread["min"], spread["max"], color=colour, alpha=0.12, linewidth=0)
    floats = part.loc[part["samples"] == 0, "accuracy"].median()
    ax.axhline(floats, color=colour, linewidth=0.6, linestyle="--")
    ax.set_xscale("log", base=2)
    return spread.assign(line=label, floats=floats)
