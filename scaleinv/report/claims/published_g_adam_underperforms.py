"""Adam in G-space as published, which forgets its state at every step."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import ADAM, G_ADAM_PUBLISHED, G_SGD, SGD, loss_cases
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study


class PublishedGAdamUnderperforms(Claim):
    """Higher loss than each of the others, on every data set."""

    source = "T 4.1"
    quote = "G-Adam consistently underperforms relative to the other optimizers for both MNIST and CIFAR-10"
    figures = ("fig_4_1", "fig_4_2")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Against SGD, Adam and G-SGD on every data set."""
        for dataset in study.datasets("memory"):
            for other in (SGD, ADAM, G_SGD):
                yield from loss_cases(study, "memory", G_ADAM_PUBLISHED, other, dataset, judge_higher, f"vs {other}")
