"""G-SGD's speed at small learning rates."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import G_SGD, SGD, speed_cases
from scaleinv.report.studies import Study


class GSGDIsFasterAtSmallRates(Claim):
    """Fewer epochs to a loss at the two rates of the grid nearest to 0.001 and 0.0005."""

    source = "T 4.1"
    quote = "G-SGD converges much faster than standard SGD for smaller choices of learning rates"
    figures = ("epochs_to_loss", "fig_4_3")

    def cases(self, study: Study) -> Iterator[Case]:
        """Every data set and small rate."""
        for dataset in study.datasets("memory"):
            yield from speed_cases(study, "memory", G_SGD, SGD, dataset)
