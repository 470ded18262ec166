"""Probabilities of few bits (C-5.3)."""

from collections.abc import Iterator

from scaleinv.report.claims._tosses import changes
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_alike, judge_lower
from scaleinv.report.studies import Study


class FewBitsOfTheProbabilitySuffice(Claim):
    """Four bits cost no more than half a point, one bit more than that."""

    source = "P 4.2.4"
    quote = "The accuracy drops slightly with discretized probabilities [...] A significant drop exists for [...] 1-bit"
    figures = ("binarization",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network, at one number of samples."""
        named = "{} bits", "accuracy with {} bits of the probability minus with all"
        yield from changes(study, "bits", "bits", {4: judge_alike, 1: judge_lower}, *named)
