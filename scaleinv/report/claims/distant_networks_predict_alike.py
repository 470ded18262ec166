"""Distance in weights against distance in predictions (B-9)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import ratio
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import Margin, judge_alike
from scaleinv.report.pushes import by_seed, cell, pushed, strengths, usual, widths
from scaleinv.report.studies import Study


class DistantNetworksPredictAlike(Claim):
    """Those pushed furthest disagree with the checkpoint no more than those not pushed, within a tenth."""

    source = "B 4"
    quote = "even networks different in the weight space predict quite similar to each other"
    figures = ("b_3_2", "push_rulers")

    def cases(self, study: Study) -> Iterator[Case]:
        """Disagreement on validation images; the distance itself stands beside it."""
        records = pushed(study)
        end = int(records["epoch"].max())
        far, plain = (cell(records, s, widths(records)[-1]) for s in (usual(records)[0], strengths(records)[0]))
        for measure, name in (("disagreement", "disagreement with"), ("weight_distance", "distance from")):
            pair = [by_seed(rows, measure) for rows in (far, plain)]
            text = f"{name} the checkpoint, pushed over not pushed"
            case = ratio(measure, text, pair, judge_alike, end, Margin(0.1, "a tenth"))
            yield case if measure == "disagreement" else case.beside()
