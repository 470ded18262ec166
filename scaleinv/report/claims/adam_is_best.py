"""Adam against the methods in G-space."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import ADAM, G_ADAM, G_ADAM_PUBLISHED, G_SGD, loss_cases
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study


class AdamIsBest(Claim):
    """Lower loss than both methods of the source, on every data set; "ultimately" means its 150 epochs."""

    source = "T 4.1"
    quote = "Ultimately however, Adam still performs better than our G-space based methods"
    figures = ("fig_4_1", "fig_4_2")
    needs_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Against G-SGD and Adam as published; against Adam with its state kept beside."""
        for dataset in study.datasets("memory"):
            for other in (G_SGD, G_ADAM_PUBLISHED, G_ADAM):
                for case in loss_cases(study, "memory", ADAM, other, dataset, judge_lower, f"vs {other}"):
                    yield case.beside() if other == G_ADAM else case
