"""G-SGD's sensitivity to the learning rate."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import G_SGD, SGD, sensitivity_case
from scaleinv.report.studies import Study


class GSGDIsLessSensitive(Claim):
    """Lower learning-rate sensitivity on every data set."""

    source = "T 4.1"
    quote = "G-SGD seems to be less sensitive to the choice of learning rate"
    figures = ("rate_sensitivity", "fig_4_1")

    def cases(self, study: Study) -> Iterator[Case]:
        """Every data set."""
        for dataset in study.datasets("memory"):
            yield sensitivity_case(study, "memory", G_SGD, SGD, dataset)
