"""G-SGD against SGD, as the abstract of the G-SGD paper states it."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import G_SGD, SGD, loss_cases
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study


class GSGDOutperformsSGD(Claim):
    """Lower loss on every data set: in validation, and in what is optimised, the training loss.

    The abstract speaks of optimising ReLU networks; its experiments are with convolutional networks, these are not.
    """

    source = "M"
    quote = "G-SGD significantly outperforms the conventional SGD algorithm in optimizing ReLU networks"
    figures = ("paired_ratios", "fig_4_1")

    def cases(self, study: Study) -> Iterator[Case]:
        """Validation and training loss on every data set."""
        recorded = study.records("memory").columns
        training = "train_subset_loss" if "train_subset_loss" in recorded else "train_loss"
        for dataset in study.datasets("memory"):
            for measure in ("val_loss", training):
                yield from loss_cases(study, "memory", G_SGD, SGD, dataset, judge_lower, measure=measure)
