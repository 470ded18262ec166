"""Sensitivity of both methods to the learning rate."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import FIXED_SGD, G_SGD, SGD, sensitivity_case, width_cases
from scaleinv.report.studies import Study


class FixingAndGAreRobust(Claim):
    """Lower learning-rate sensitivity than SGD: both methods, on every data set; widths of good ranges beside."""

    source = "T 5.1"
    quote = "Both Fixed SGD and G-SGD showed greater robustness against the learning rate choice"
    figures = ("rate_sensitivity", "fig_4_10")

    def cases(self, study: Study) -> Iterator[Case]:
        """Both methods on every data set."""
        for experiment, method in (("fig_4_4", FIXED_SGD), ("memory", G_SGD)):
            for dataset in study.datasets(experiment):
                yield sensitivity_case(study, experiment, method, SGD, dataset, method)
        for dataset in study.datasets("fig_4_4"):
            for case in width_cases(study, "fig_4_4", FIXED_SGD, SGD, dataset):
                yield case.beside()
