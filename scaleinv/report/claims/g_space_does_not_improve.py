"""G-space against weight space, with SGD and with Adam as published."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, denied
from scaleinv.report.comparisons import ADAM, G_ADAM_PUBLISHED, G_SGD, SGD, loss_cases
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study


class GSpaceDoesNotImprove(Claim):
    """The loss is not lower by more than the noise of one training."""

    source = "T 4.1"
    quote = "both G-space based methods do not significantly improve the loss compared to their counterparts"
    figures = ("fig_4_1", "fig_4_2")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Both methods on every data set."""
        for dataset in study.datasets("memory"):
            for first, second in ((G_SGD, SGD), (G_ADAM_PUBLISHED, ADAM)):
                yield from loss_cases(study, "memory", first, second, dataset, denied(judge_lower), first)
