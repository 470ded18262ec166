"""Whether a share of the data between 0 and 1 wins."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case, judged
from scaleinv.report.effects.choice import BEST, choose, loss_tables
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_lower, seeds_margin
from scaleinv.report.studies import Study


def between_cases(study: Study, experiment: str, alpha: str, moment: str) -> Iterator[Case]:
    """Judge the best alpha inside against the better of the ends, one case per moment.

    Each seed's alpha and learning rate are those that are best for the other seeds, inside and at the ends alike.
    """
    records = study.records(experiment, alpha, moment)
    for name, own in records.groupby(moment):
        alphas = sorted(own[alpha].unique())
        inside, ends = _best(own, alpha, alphas[1:-1]), _best(own, alpha, [alphas[0], alphas[-1]])
        logs = np.log(inside) - np.log(ends)
        text = f"loss at the best alpha of {', '.join(f'{a:g}' for a in alphas[1:-1])} over that at the better end"
        estimate = estimate_mean(logs.to_numpy(), contested=True).as_ratio()
        margin = seeds_margin(np.log(inside), np.log(ends))
        yield judged(str(name).replace("_", " "), text, estimate, judge_lower, margin, epochs=study.epochs(experiment))


def _best(records: pd.DataFrame, alpha: str, alphas: Sequence[float]) -> pd.Series:
    """Return each seed's loss at the alpha, and its rate, that are best for the other seeds."""
    chosen = {a: choose(loss_tables(records[records[alpha] == a], BEST, "val_loss")[0]) for a in alphas}
    losses = pd.DataFrame({a: one.losses for a, one in chosen.items()})
    logs = np.log(losses)
    others = (logs.sum() - logs) / (len(logs) - 1)
    return pd.Series([losses.loc[seed, others.loc[seed].idxmin()] for seed in losses.index], losses.index)
