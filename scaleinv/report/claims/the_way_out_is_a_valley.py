"""The loss on the way out of the checkpoint (B-5)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference, ratio
from scaleinv.report.claims.base import Case, Claim, denied
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.pushes import by_seed, cell, checkpoint, pushed, strengths, usual, widths
from scaleinv.report.studies import Study


class TheWayOutIsAValley(Claim):
    """At no epoch is the loss higher than at the checkpoint, and the end is as good as without the push."""

    source = "B 3.2.2"
    quote = "there are valleys leading away from current point with high accuracy"
    figures = ("b_3_1", "b_3_3")

    def cases(self, study: Study) -> Iterator[Case]:
        """The widest kernel of ordinary strength: the highest loss on the way, and the final accuracy."""
        records = pushed(study)
        begun, end = checkpoint(records), int(records["epoch"].max())
        out, plain = (cell(records, s, widths(records)[-1]) for s in (usual(records)[0], strengths(records)[0]))
        start = by_seed(out, "val_loss", begun)
        highest = out[out["epoch"] > begun].groupby("seed")["val_loss"].max()
        text = "highest validation loss after the checkpoint over the loss at it"
        yield ratio("on the way", text, (highest, start), judge_lower, end)
        final = [by_seed(rows, "val_accuracy") for rows in (out, plain)]
        text = "final accuracy minus that without the push"
        yield difference("in the end", text, final, denied(judge_lower), HALF_A_POINT, end)
