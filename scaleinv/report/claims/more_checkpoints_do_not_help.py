"""Several checkpoints, and merged ones (B-6)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim, denied
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.pushes import MERGED, NO_PUSH, SEVERAL, by_seed, with_pushes
from scaleinv.report.studies import Study


class MoreCheckpointsDoNotHelp(Claim):
    """Two checkpoints, added or merged, against none: the accuracy is not higher."""

    source = "B 4"
    quote = "distancing successfull [...] but that doesn't increase valdiation accuracy"
    figures = ("push_rulers",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Both ways to use two checkpoints."""
        records = with_pushes(study.records("push_ruler"))
        end = int(records["epoch"].max())
        plain = by_seed(records[records["push"] == NO_PUSH], "val_accuracy")
        for push in (SEVERAL, MERGED):
            own = by_seed(records[records["push"] == push], "val_accuracy")
            text = "final accuracy minus that without a push"
            yield difference(push, text, (own, plain), denied(judge_higher), HALF_A_POINT, end)
