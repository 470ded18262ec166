"""Weights fixed at their drawn values against SGD."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.comparisons import KEPT_SGD, SGD, divergence_case, loss_cases
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_higher
from scaleinv.report.studies import Study


class KeptWeightsAreWorse(Claim):
    """Higher loss, and a loss that moves more from epoch to epoch; diverged members beside."""

    source = "T 4.2.1"
    quote = "Fixed SGD without setting weights to one behaves like a more unstable variant of SGD"
    figures = ("fig_4_6",)
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Loss and stability."""
        yield from loss_cases(study, "fig_4_6", KEPT_SGD, SGD, "", judge_higher, "loss")
        epochs, steps = study.epochs("fig_4_6"), []
        for method in (KEPT_SGD, SGD):
            curves = study.curves("fig_4_6", method, "", study.chosen("fig_4_6", method).rates)
            late = curves.columns.to_numpy(dtype=float)[1:] > epochs / 2
            steps.append(np.diff(np.log(curves.to_numpy()), axis=1)[:, late])
        sizes = [0.5 * np.log((step**2).mean(1)) for step in steps]
        estimate = estimate_mean(sizes[0] - sizes[1]).as_ratio()
        text = f"root mean square of the steps of log loss from epoch to epoch, {KEPT_SGD} over {SGD}"
        margin = Margin(float(np.log(1.25)), "a quarter")
        yield judged("stability", text, estimate, judge_higher, margin, epochs=epochs)
        tables = [study.losses("fig_4_6", method) for method in (KEPT_SGD, SGD)]
        words = f"share of learning rates that diverge, {KEPT_SGD} minus {SGD}"
        yield divergence_case(tables, "divergence", words, epochs).beside()
