"""A penalty on the entropy of activation patterns, and accuracy (C-6A)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import difference
from scaleinv.report.claims.base import Case, Claim, denied
from scaleinv.report.effects.verdicts import Margin, judge_higher
from scaleinv.report.studies import Study

STRENGTH = "penalties.pattern_entropy.strength"


class EntropyDoesNotHelpAccuracy(Claim):
    """At no strength is the accuracy higher by more than 0.3 points, a bound set before the records were made."""

    source = "P A.1"
    quote = "did not increase the performance of the resulting networks in the conducted experiments"
    figures = ("pattern_entropy",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every strength above zero against zero."""
        records = study.records("pattern_entropy", STRENGTH)
        end = int(records["epoch"].max())
        last = records[records["epoch"] == end]
        plain = last[last[STRENGTH] == 0].set_index("seed")["val_accuracy"]
        margin = Margin(0.003, "0.3 points of accuracy")
        for strength in sorted(set(last[STRENGTH]) - {0.0}):
            pair = last[last[STRENGTH] == strength].set_index("seed")["val_accuracy"], plain
            text = "validation accuracy minus that without the penalty"
            yield difference(f"strength {strength:g}", text, pair, denied(judge_higher), margin, end)
