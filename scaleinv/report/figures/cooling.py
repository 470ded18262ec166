"""ActCooLR against schedules without feedback, each at its best learning rate or temperature (P 3.3.2)."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.style import BLUE, ORANGE, PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "cooling"
SCHEDULE, TEMPERATURE = "schedule.name", "schedule.temperature"
ACTCOOLR = "actcoolr"


def last_accuracies(records: pd.DataFrame) -> pd.DataFrame:
    """Return by schedule, setting (learning rate, or temperature in bits) and seed the last epoch's accuracy and loss.

    A member that diverged has an accuracy of 0 and an infinite loss.
    """
    refuse_several(records, "dataset")
    last = records[records["epoch"] == records["epoch"].max()].copy()
    last[SCHEDULE] = last[SCHEDULE].fillna("constant")  # the default is no part of a run's identity
    is_closed = last[SCHEDULE] == ACTCOOLR
    last["setting"] = last["lr"].where(~is_closed, pd.to_numeric(last.get(TEMPERATURE), errors="coerce"))
    bad = last["status"] == "diverged"
    last.loc[bad, "val_accuracy"], last.loc[bad, "val_loss"] = 0.0, float("inf")
    return last[[SCHEDULE, "setting", "seed", "val_accuracy", "val_loss"]].reset_index(drop=True)


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each schedule's best setting, by median accuracy."""
    medians = table.groupby([SCHEDULE, "setting"])["val_accuracy"].median().reset_index()
    best = medians.loc[medians.groupby(SCHEDULE)["val_accuracy"].idxmax(), [SCHEDULE, "setting"]]
    return table.merge(best, on=[SCHEDULE, "setting"])


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the error against the setting, and each schedule's seeds at its best setting."""
    with_methods(records)  # raises where two configurations cannot be told apart
    table = last_accuracies(records)
    best = chosen(table)
    figure, (left, right) = panels(2, width=PAGE + 1, height=3.2)
    names = sorted(set(table[SCHEDULE]), key=lambda name: (name == ACTCOOLR, name))
    for position, name in enumerate(names):
        error = 1 - table[table[SCHEDULE] == name].groupby("setting")["val_accuracy"].median()
        style = {"color": BLUE, "linewidth": 2} if name == ACTCOOLR else {"alpha": 0.8}
        left.plot(error.index, error, marker="o", label=name, **style)
        own = best[best[SCHEDULE] == name]
        right.plot([position] * len(own), 1 - own["val_accuracy"], "o", color=ORANGE, alpha=0.5, markersize=3)
        right.plot([position - 0.3, position + 0.3], [1 - own["val_accuracy"].median()] * 2, color="black")
    left.set(xscale="log", yscale="log", xlabel="learning rate; of actcoolr, temperature in bits", ylabel="error")
    left.legend(fontsize=5.5)
    right.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=6)
    right.set_ylabel("error at the best setting")
    caption = (
        "Error on the validation images after the last epoch, momentum 0.9, no weight decay, for every schedule. Left:"
        " median over seeds against the setting; right: every seed at the best setting, and the median."
        f" {DATASETS.get(records['dataset'].iloc[0], '')}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
