"""Effect of an invariant space against the share of invariances, for networks of several widths and depths."""

import json
import math
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.style import BLUE, ORANGE, PAGE, Drawing, panels, styled
from scaleinv.report.members import best_epochs, best_lr
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "width_depth"
INPUTS = {"mnist": 784, "fashion_mnist": 784, "cifar10": 3072, "cifar100": 3072, "digits": 64}
OUTPUTS = {"cifar100": 100}
SPACES = {"cycle": (BLUE, "o"), "G, invariant": (ORANGE, "s")}


def shares(records: pd.DataFrame) -> pd.DataFrame:
    """Return for every network its widths, number of layers, K, m and K / m (no biases), by ``network.hidden``."""
    dataset = records["dataset"].iloc[0]
    rows = []
    for text in dict.fromkeys(records["network.hidden"]):
        hidden = json.loads(text)
        sizes = (INPUTS[dataset], *hidden, OUTPUTS.get(dataset, 10))
        m = sum(math.prod(pair) for pair in pairwise(sizes))
        row = {"network.hidden": text, "width": hidden[0], "layers": len(hidden), "K": sum(hidden), "m": m}
        rows.append({**row, "share": sum(hidden) / m})
    return pd.DataFrame(rows)


def effects(records: pd.DataFrame) -> pd.DataFrame:
    """Return log(loss in an invariant space / loss in weight space) by network, space and seed.

    Each method is at its own best learning rate on each network.
    """
    refuse_several(records, "dataset")
    named = with_methods(records, ["network.hidden"])
    by = ["network.hidden", "space_name"]
    best = best_epochs(named, "val_loss", by)
    picked = best.merge(best_lr(best, by)[[*by, "lr", "at_edge"]], on=[*by, "lr"])
    plain = picked[picked["space_name"] == "weight"].set_index(["network.hidden", "seed"])["val_loss"]
    rest = picked[picked["space_name"] != "weight"].copy()
    weight = plain.reindex(pd.MultiIndex.from_frame(rest[["network.hidden", "seed"]])).to_numpy()
    rest["log_ratio"] = np.log(rest["val_loss"].to_numpy() / weight)
    columns = ["network.hidden", "space_name", "seed", "lr", "at_edge", "log_ratio"]
    return rest[columns].merge(shares(records), on="network.hidden")


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the ratio of the losses against K / m: seeds as dots, their mean as a marker."""
    table = effects(records)
    figure, (ax,) = panels(1, width=PAGE, height=3.2)
    ax.axhline(1, color="0.7", linewidth=0.8)
    for space, (color, marker) in SPACES.items():
        own = table[table["space_name"] == space]
        ax.plot(own["share"], np.exp(own["log_ratio"]), linestyle="", marker=".", markersize=2, color=color, alpha=0.5)
        means = own.groupby(["network.hidden", "share"], sort=False)["log_ratio"].mean().reset_index()
        ax.plot(means["share"], np.exp(means["log_ratio"]), linestyle="", marker=marker, color=color, label=space)
    for share, alike in shares(records).groupby("share"):
        text = f"{alike['layers'].iloc[0]} x {', '.join(map(str, alike['width']))}"
        ax.annotate(text, (share, 1.0), xycoords=ax.get_xaxis_transform(), rotation=45, fontsize=5)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
        axis.set_minor_locator(NullLocator())
    ax.set_xlabel("share of invariances, K / m")
    ax.set_ylabel("best validation loss / that in weight space")
    ax.legend()
    name = records["dataset"].iloc[0]
    caption = (
        "SGD in two invariant spaces against weight space, from the same start, each at its best learning rate: ratio"
        " of the best validation losses (dots: seeds, markers: geometric means) against the share K / m of invariances"
        f" in the weights; hidden layers x width at the top. {DATASETS.get(name, name)}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
