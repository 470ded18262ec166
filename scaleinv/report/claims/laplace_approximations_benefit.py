"""Laplace approximations in a chart against those in weights: the source's outlook."""

from collections.abc import Iterator

import pandas as pd

from scaleinv.report.claims._push import ratio
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_lower
from scaleinv.report.studies import Study

WEIGHTS, CYCLE = "weights", "cycle"


class LaplaceApproximationsBenefit(Claim):
    """Lower negative log likelihood on test images in cycle coordinates than in the weights that training found.

    With every structure of the posterior. Other coordinates, rescaled networks, and by how much the rescaling changes
    the predictions of weights stand beside it.
    """

    source = "T 5.2"
    quote = "Laplace approximations could benefit from the additional structural knowledge of the loss landscape"
    figures = ("laplace",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every structure as trained; then all other coordinates and rescalings."""
        records = study.records("laplace")
        posteriors = records[records["coordinates"] != "none"]
        others = [c for c in dict.fromkeys(posteriors["coordinates"]) if c != WEIGHTS]
        for structure in dict.fromkeys(posteriors["structure"]):
            for sigma in sorted(set(posteriors["sigma"])):
                weights = by_seed(posteriors, WEIGHTS, structure, sigma)
                for coordinates in others:
                    pair = by_seed(posteriors, coordinates, structure, sigma)["nll"], weights["nll"]
                    name = f"{structure}, {coordinates}" + (f", rescaled by exp({sigma:g} N)" if sigma else "")
                    text = "NLL in these coordinates over that in weights"
                    case = ratio(name, text, pair, judge_lower, 0, Margin(0.01, "1 %"))
                    yield case if coordinates == CYCLE and sigma == 0 else case.beside()
                if sigma:
                    estimate = estimate_mean(weights["change"].to_numpy())
                    text = f"largest change of a probability by the rescaling exp({sigma:g} N)"
                    yield Case(f"{structure}, {WEIGHTS}", text, estimate, None, decides=False)


def by_seed(records: pd.DataFrame, coordinates: str, structure: str, sigma: float) -> pd.DataFrame:
    """Return the scores of one kind of posterior, by seed."""
    keep = (records["coordinates"] == coordinates) & (records["structure"] == structure) & (records["sigma"] == sigma)
    return records[keep].set_index("seed").sort_index()
