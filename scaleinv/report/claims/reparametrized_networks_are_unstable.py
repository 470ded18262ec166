"""Divergence of networks that reparametrisation has unbalanced."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import ADAM, SGD, compare_chosen, divergence_case
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study


class ReparametrizedNetworksAreUnstable(Claim):
    """More members diverge from the reparametrised start than from the default one, with SGD."""

    source = "T 4.2.2"
    quote = "This leads to an unbalanced network which was numerically unstable during training"
    figures = ("unbalanced",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Diverged members decide; Adam, and the losses, stand beside them."""
        epochs = study.epochs("unbalanced")
        for method in (SGD, ADAM):
            starts = [study.losses("unbalanced", method, start__name=name) for name in ("reparametrized", "default")]
            words = "share of learning rates that diverge, from the reparametrised start minus from the default one"
            case = divergence_case(starts, f"{method}, divergence", words, epochs)
            yield case if method == SGD else case.beside()
            pair = [study.chosen("unbalanced", method, start__name=name) for name in ("reparametrized", "default")]
            words = "loss from the reparametrised start over the default"
            yield compare_chosen(pair, f"{method}, loss", words, judge_higher, epochs).beside()
