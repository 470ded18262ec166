"""Adam in G-space against weight space."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import ADAM, G_ADAM, G_ADAM_PUBLISHED, loss_cases
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study


class AdamIsWorseInGSpace(Claim):
    """Higher loss on every data set, without memory, as the source ran it; with memory beside."""

    source = "T 5.1"
    quote = "Adam performed notably worse on the G-space"
    figures = ("memory", "fig_4_1")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """The published G-Adam decides."""
        for dataset in study.datasets("memory"):
            yield from loss_cases(study, "memory", G_ADAM_PUBLISHED, ADAM, dataset, judge_higher, "without memory")
            for case in loss_cases(study, "memory", G_ADAM, ADAM, dataset, judge_higher, "with memory"):
                yield case.beside()
