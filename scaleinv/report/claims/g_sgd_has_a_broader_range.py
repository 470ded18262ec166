"""The width of G-SGD's range of good learning rates."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import G_SGD, SGD, width_cases
from scaleinv.report.studies import Study


class GSGDHasABroaderRange(Claim):
    """More decades of learning rates within twice the best loss of both methods, on every data set."""

    source = "T 4.1"
    quote = "G-SGD seems to be stable across a broader range"
    figures = ("rate_sensitivity", "fig_4_1")

    def cases(self, study: Study) -> Iterator[Case]:
        """Every data set, at two tolerances, relative to the common and to the own best."""
        for dataset in study.datasets("memory"):
            yield from width_cases(study, "memory", G_SGD, SGD, dataset)
