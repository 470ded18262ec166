"""How many scale invariances convolutional networks with pooling have (thesis, 3.0.5, says one per window)."""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from scaleinv.report.figures.style import BLUE, ORANGE, PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_differences

EXPERIMENT = "pooling"


def counts(records: pd.DataFrame) -> pd.DataFrame:
    """Return for every network the counted invariances, m less the largest rank, and those of the source.

    The source says: one per channel and window without overlap, one per channel with.
    """
    refuse_differences(records)
    by = ["pooling", "size", "stride", "bias", "parameters", "channels", "windows"]
    table = records.groupby(by, sort=False).agg(rank=("jacobian_rank", "max"), draws=("seed", "size")).reset_index()
    table["counted"] = table["parameters"] - table["rank"]
    pools, overlaps = table["pooling"] != "none", table["stride"] < table["size"]
    table["overlaps"] = overlaps
    table["claimed"] = table["channels"] * np.where(pools & ~overlaps, table["windows"], 1)
    return table


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw both numbers for every kind of pooling."""
    table = counts(records)
    table["network"] = [
        "no pooling" if one["pooling"] == "none" else f"{one['pooling']} {one['size']}, stride {one['stride']}"
        for one in table.to_dict("records")
    ]
    shown = table[~table["bias"]]
    figure, (ax,) = panels(1, width=PAGE, height=2.8)
    for column, marker, size, color, label in (
        ("claimed", "s", 7, ORANGE, "as in the source"),
        ("counted", "o", 4, BLUE, "weights - rank of the function's Jacobian"),
    ):
        face = "none" if column == "claimed" else color
        ax.plot(
            shown["network"], shown[column], linestyle="", marker=marker, markersize=size, color=color,
            markerfacecolor=face, label=label,
        )  # fmt: skip
    ax.set_ylim(0, None)
    ax.set_ylabel("scale invariances")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.tick_params("x", rotation=20)
    ax.legend()
    caption = (
        f"Scale invariances of a convolution with {table['channels'].iloc[0]} channels, ReLU, pooling and a linear"
        " layer, and what the source says: one per channel and window where windows do not overlap. The Jacobian has"
        f" the largest rank of {table['draws'].max()} random weights; networks with biases give the same numbers"
        " (in the table)."
    )
    return Drawing(figure, table, caption)
