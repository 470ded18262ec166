"""Speed of both methods at small learning rates."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import FIXED_SGD, G_SGD, SGD, speed_cases
from scaleinv.report.studies import Study


class FixingAndGAreFasterAtSmallRates(Claim):
    """Fewer epochs to a loss than SGD: both methods, on every data set."""

    source = "T 5.1"
    quote = "[Fixed SGD and G-SGD] converging faster than standard SGD for small learning rates"
    figures = ("epochs_to_loss",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Both methods on every data set."""
        for experiment, method in (("fig_4_4", FIXED_SGD), ("memory", G_SGD)):
            for dataset in study.datasets(experiment):
                yield from speed_cases(study, experiment, method, SGD, dataset)
