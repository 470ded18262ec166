"""What penalties on weights, coordinates and the path norm gain in validation."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.choice import leave_one_out
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_lower, seeds_margin
from scaleinv.report.figures.regularisation import EXPERIMENT, PENALTIES, with_penalties
from scaleinv.report.members import best_epochs
from scaleinv.report.studies import Study

# What the cases differ in.
SETTINGS = ("penalties", *(f"penalties.{name}.strength" for name in PENALTIES))


class SmallWeightsGeneralize(Claim):
    """Lower validation loss with a penalty on the squared weights than without, in weight space.

    Strength and learning rate are chosen for each seed on the other seeds. Penalties on coordinates and on the path
    norm, and training in other spaces, stand beside it.
    """

    source = "B 1.2.1"
    quote = "Small weights have some advantages for the generalization capabilities"
    figures = ("regularisation",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every penalty in every space, against the same space without."""
        records = study.records(EXPERIMENT, *SETTINGS)
        by = ["penalty", "method", "strength"]
        best = best_epochs(with_penalties(records), "val_loss", by)
        epochs = int(records["epoch"].max())
        for (penalty, method), own in best.groupby(["penalty", "method"], sort=False):
            tables = [
                own[is_on].pivot(index="seed", columns=["strength", "lr"], values="val_loss")
                for is_on in (own["strength"] > 0, own["strength"] == 0)
            ]
            logs = [held_out(table) for table in tables]
            estimate, margin = estimate_mean(logs[0] - logs[1]).as_ratio(), seeds_margin(*logs)
            text = f"validation loss of {method} with {penalty} over that without"
            case = judged(f"{penalty}, {method}", text, estimate, judge_lower, margin, epochs=epochs)
            yield case if (penalty, method) == ("l2_weights", "SGD / weight") else case.beside()


def held_out(table: pd.DataFrame) -> np.ndarray:
    """Return each seed's log loss at the setting that is best for the other seeds."""
    losses = table.to_numpy(dtype=float)
    return np.log(losses[np.arange(len(losses)), leave_one_out(losses)])
