"""How much choosing on the test set gains: the study's protocol against one that holds out training images."""

import numpy as np
import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.members import best_epochs, best_lr
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "heldout"


def chosen(records: pd.DataFrame) -> pd.DataFrame:
    """Return the test loss per method and seed, for two ways to choose learning rate and epoch.

    ``held out``: both chosen on the held-out images (the rate by the median over seeds, the epoch by each member's
    best). ``test``: both chosen on the test images themselves, as in the study.
    """
    refuse_several(records, "dataset")
    named = with_methods(records)
    rows = []
    for way, measure in (("held out", "val_loss"), ("test", "test_loss")):
        best = best_epochs(named, measure, ["method"])
        lows = best_lr(best, ["method"], measure).set_index("method")["lr"]
        picked = best[best["lr"] == best["method"].map(lows)]
        key = ["method", "lr", "seed", "epoch"]
        losses = picked[key].merge(named[[*key, "test_loss", "test_accuracy"]], on=key)
        rows.append(losses.assign(chosen_on=way))
    return pd.concat(rows, ignore_index=True)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the test loss of each method for both choices; a line joins the two losses of a seed."""
    table = chosen(records)
    figure, (ax,) = panels(1, width=PAGE, height=3.0)
    styles = method_styles(table["method"])
    for i, (method, how) in enumerate(styles.items()):
        part = table[table["method"] == method].pivot(index="seed", columns="chosen_on", values="test_loss")
        for _, seed in part.iterrows():
            ends = (i - 0.15, i + 0.15)
            ax.plot(ends, (seed["held out"], seed["test"]), color=how.style["color"], linewidth=0.6, alpha=0.5)
        for position, way in ((i - 0.15, "held out"), (i + 0.15, "test")):
            values = part[way].to_numpy()
            face = how.style["color"] if way == "held out" else "white"
            style = {"color": how.style["color"], "marker": how.style["marker"], "markerfacecolor": face}
            ax.plot(np.full(len(values), position), values, linestyle="", **style)
    ax.set_xticks(range(len(styles)), list(styles), rotation=20, ha="right")
    ax.set_ylabel("test loss")
    name = records["dataset"].iloc[0]
    ax.set_title(f"{DATASETS.get(name, name)}: chosen on held-out images (filled),\non the test set (hollow)")
    caption = (
        "Test loss when learning rate and epoch are chosen on held-out training images (filled), and when both are"
        f" chosen on the test images themselves, as in the study (hollow); a line joins a seed's two."
        f" {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
