"""The gap between validation and training loss, with fixed weights and without."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.comparisons import FIXED_SGD, SGD
from scaleinv.report.effects.choice import log_ratios
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_lower, seeds_margin
from scaleinv.report.studies import Study
from scaleinv.runs.errors import UserError


class FixedSGDOverfitsLess(Claim):
    """Validation loss over the loss on fixed training images after the epoch, over the second half of the epochs."""

    source = "T 4.2.1"
    quote = "Fixed SGD seems to overfit less [than] standard SGD"
    figures = ("fig_4_5",)
    needs_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Every data set; each method at its best learning rate.

        Raises:
            UserError: the training loss was not evaluated after the epoch; its running mean is no substitute.
        """
        if "train_subset_loss" not in study.records("fig_4_4"):
            raise UserError(
                "fig_4_4 has no training loss after the epoch", "train_subset_loss", "probes=[train_subset]"
            )
        for dataset in study.datasets("fig_4_4"):
            chosen = [study.chosen("fig_4_4", method, dataset) for method in (FIXED_SGD, SGD)]
            gaps = [
                _gap(study, method, dataset, one.rates) for method, one in zip((FIXED_SGD, SGD), chosen, strict=True)
            ]
            contested = any(one.contested for one in chosen)
            estimate = estimate_mean(log_ratios(*gaps), contested=contested).as_ratio()
            text = f"(validation over training loss) of {FIXED_SGD} over that of {SGD}"
            margin = seeds_margin(*(np.log(gap) for gap in gaps))
            at_edge, epochs = any(one.at_edge for one in chosen), study.epochs("fig_4_4", dataset)
            yield judged(dataset, text, estimate, judge_lower, margin, at_edge, epochs)


def _gap(study: Study, method: str, dataset: str, rates: pd.Series) -> pd.Series:
    """Return by seed the geometric mean, over the second half of the epochs, of validation over training loss."""
    validation, training = (
        study.curves("fig_4_4", method, dataset, rates, measure) for measure in ("val_loss", "train_subset_loss")
    )
    epochs = validation.columns.to_numpy(dtype=float)
    logs = np.log(validation.to_numpy()) - np.log(training.to_numpy())
    return pd.Series(np.exp(logs[:, epochs > epochs.max() / 2].mean(1)), validation.index)
