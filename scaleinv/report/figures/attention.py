"""Accuracy against cost in gated additions: entropy, entropy with a margin, and random positions; batch norm folded."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS
from scaleinv.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PAGE, Drawing, panels, styled
from scaleinv.report.tosses import tosses

EXPERIMENT = "attention"
MODES = {"entropy": BLUE, "margin": GREEN, "random": ORANGE}
MARKERS = "osD^v"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw attention on the left, folded and unfolded batch norm on the right."""
    figure, (left, right) = panels(2, width=PAGE + 1, height=2.8)
    own = tosses(records, "attention")
    pairs = sorted(set(zip(own["first"], own["samples"], strict=True)))
    columns = ["accuracy", "coverage", "share"]
    table = own.groupby(["first", "samples", "mode"])[columns].median().reset_index()
    for (first, second), marker in zip(pairs, MARKERS * len(pairs), strict=False):
        for mode, colour in MODES.items():
            at = table[(table["first"] == first) & (table["samples"] == second) & (table["mode"] == mode)]
            label = f"{mode}, {first:g} and {second:g}"
            left.plot(at["share"], at["accuracy"], marker, color=colour, label=label)
    left.set_xlabel("gated additions, share of the second pass everywhere")
    left.set_ylabel("accuracy")
    left.legend(fontsize=5)
    lines = [table.assign(panel="attention")]
    for folded, colour in ((True, BLACK), (False, ORANGE)):
        part = tosses(records, "samples", gauge="trained", folded=folded)
        spread = part[part["samples"] > 0].groupby("samples")["accuracy"].agg(["median", "min", "max"]).reset_index()
        right.plot(spread["samples"], spread["median"], color=colour, label="folded" if folded else "not folded")
        right.fill_between(spread["samples"], spread["min"], spread["max"], color=colour, alpha=0.12, linewidth=0)
        lines.append(spread.assign(panel="folded" if folded else "not folded"))
    right.set_xscale("log", base=2)
    right.set_xlabel("coin tosses per weight")
    right.legend()
    name = str(records["dataset"].iloc[0])
    caption = (
        f"A convolutional network with batch norm on {DATASETS.get(name, name)}. Left: a second pass with more coin"
        " tosses where the first is unsure, and at as many random positions; medians over seeds and draws. Right:"
        " accuracy in place, batch norm folded or tossed for; median and range."
        f" n = {records['seed'].nunique()} seeds, {records['draw'].nunique()} draws."
    )
    return Drawing(figure, pd.concat(lines, ignore_index=True), caption)
