"""A picture of a model's rescaling symmetry: which channels may be rescaled, and what anchors the others. No torch."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from scaleinv.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PAGE,
    PURPLE,
    RED,
    SKY,
    YELLOW,
    Drawing,
    panels,
    styled,
)

_ANCHORED = (ORANGE, GREEN, RED, SKY, PURPLE, YELLOW, BLACK)


@styled
def draw(report: Mapping[str, Any]) -> Drawing:
    """Draw for every parameter, in the model's order, how many channels it writes and how many of them are free.

    Args:
        report: a :attr:`scaleinv.symmetry.report.SymmetryReport.record`, or what its JSON holds.
    """
    by_tensor: dict[str, str] = {}
    for anchor in report["anchors"]:
        for name in anchor["tensors"]:
            by_tensor.setdefault(name, anchor["operation"])
    rows = [
        {
            "parameter": writer["name"],
            "channels": writer["channels"],
            "free": writer["free"],
            "anchored by": "" if writer["free"] == writer["channels"] else by_tensor.get(writer["name"], "output"),
        }
        for writer in report["writers"]
    ]
    table = pd.DataFrame(rows, columns=["parameter", "channels", "free", "anchored by"])
    common = [name for name, _ in Counter(table["anchored by"]).most_common() if name]
    figure, (ax,) = panels(1, width=PAGE, height=2.4)
    ax.bar(table.index, table["free"], width=1.0, color=BLUE, label="may be rescaled")
    for i, operation in enumerate(common):
        these = table[table["anchored by"] == operation]
        color = _ANCHORED[min(i, len(_ANCHORED) - 1)]
        ax.bar(
            *(these.index, these["channels"] - these["free"], 1.0, these["free"]),
            color=color,
            alpha=0.6,
            label=f"anchored by {operation}",
        )
    ax.set_xlabel("parameters, in the model's order")
    ax.set_ylabel("channels written")
    figure.legend(loc="outside lower center", ncols=3)
    caption = (
        f"{report['model']}: {report['parameters']:,} parameters, {report['invariances']:,} rescalings of channels that"
        " keep the function. One bar for each parameter: the channels that it writes, each at all parameters"
        " that write it. Anchored by: the first operation that forbids a rescaling."
    )
    return Drawing(figure, table, caption)
