"""Entropy of activation patterns and accuracy, by the strength of the penalty."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.style import BLUE, PAGE, Drawing, panels, styled

EXPERIMENT = "pattern_entropy"
STRENGTH = "penalties.pattern_entropy.strength"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw both after the last epoch; strength 0 has no entropy in the records."""
    last = records[records["epoch"] == records["epoch"].max()].copy()
    last["entropy"] = -last["pattern_entropy_penalty"] / last[STRENGTH].where(last[STRENGTH] > 0)
    figure, axes = panels(2, width=PAGE, height=2.5)
    tables = []
    shown = {"val_accuracy": "validation accuracy", "entropy": "entropy of patterns (nats, summed)"}
    for ax, (measure, text) in zip(axes, shown.items(), strict=True):
        spread = last.groupby(STRENGTH)[measure].agg(["median", "min", "max"]).dropna().reset_index()
        low, high = spread["median"] - spread["min"], spread["max"] - spread["median"]
        ax.errorbar(spread[STRENGTH], spread["median"], yerr=[low, high], color=BLUE, marker="o")
        ax.set_xscale("symlog", linthresh=1e-4)
        ax.set_xlabel("strength of the penalty")
        ax.set_ylabel(text)
        tables.append(spread.assign(measure=measure))
    name = str(records["dataset"].iloc[0])
    caption = (
        f"Narrow networks on {DATASETS.get(name, name)} with a penalty on minus the entropy of their activation"
        f" patterns; median and range over seeds. {describe_n(records)}."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
