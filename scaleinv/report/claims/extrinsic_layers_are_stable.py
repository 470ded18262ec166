"""Divergence of extrinsic layers without normalisation (C-6C.2)."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_alike
from scaleinv.report.studies import Study


class ExtrinsicLayersAreStable(Claim):
    """No network diverges, from either start; the source gives none."""

    source = "P A.3"
    quote = "deforming input space [...] is inherently more stable: [...] no batch normalization layers are required"
    figures = ("boards",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Both starts."""
        records = study.records("boards")
        own = records[(records["part"] == "accuracy") & (records["labels"] == "board")]
        for network in ("extrinsic", "extrinsic, naive start"):
            diverged = own.loc[own["network"] == network, "diverged"].astype(str) == "True"
            estimate = estimate_mean(diverged.to_numpy().astype(float))
            yield judged(
                network, "share of networks that diverge", estimate, judge_alike, Margin(0.05, "one in twenty")
            )
