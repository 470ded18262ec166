"""Learning rate and push (B-7)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.pushes import by_seed, cell, pushed, strengths, usual
from scaleinv.report.studies import Study


class TheRateDecidesWhetherPushingHelps(Claim):
    """The gain of accuracy by the kernel is larger at the lowest learning rate than at the highest."""

    source = "B 3.4.1"
    quote = "difference with wrong lr [...] distance kernel helps escape from this area"
    figures = ("b_3_1",)

    def cases(self, study: Study) -> Iterator[Case]:
        """The interaction of learning rate and kernel."""
        records = pushed(study)
        strength, width = usual(records)
        gains = []
        for lr in (records["lr"].min(), records["lr"].max()):
            own = [by_seed(cell(records, s, width, lr), "val_accuracy") for s in (strength, strengths(records)[0])]
            gains.append(own[0] - own[1])
        text = "gain of accuracy by the kernel at the lowest learning rate minus that at the highest"
        yield difference("interaction", text, gains, judge_higher, HALF_A_POINT, int(records["epoch"].max()))
