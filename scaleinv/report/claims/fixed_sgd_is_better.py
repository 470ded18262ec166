"""SGD with fixed weights against SGD."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import FIXED_SGD, SGD, loss_cases
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study


class FixedSGDIsBetter(Claim):
    """Lower loss on every data set."""

    source = "T 4.2.1"
    quote = "Fixed SGD performs slightly better than standard SGD"
    figures = ("fig_4_4", "fig_4_5", "paired_ratios")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Every data set."""
        for dataset in study.datasets("fig_4_4"):
            yield from loss_cases(study, "fig_4_4", FIXED_SGD, SGD, dataset, judge_lower)
