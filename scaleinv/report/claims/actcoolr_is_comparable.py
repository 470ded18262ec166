"""ActCooLR against OneCycle."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_alike
from scaleinv.report.figures.cooling import ACTCOOLR, SCHEDULE, chosen, last_accuracies
from scaleinv.report.studies import Study

ONE_CYCLE = "one_cycle"


class ActCooLRIsComparable(Claim):
    """Accuracies within a point, each at its best setting; OneCycle decides, the other schedules stand beside it."""

    source = "P 3.3.2"
    quote = "test accuracies for ActCooLR are comparable to OneCycleLR"
    figures = ("cooling", "replay")

    def cases(self, study: Study) -> Iterator[Case]:
        """Every schedule, paired by seed."""
        best = chosen(last_accuracies(study.records("cooling")))
        table = best.pivot(index="seed", columns=SCHEDULE, values="val_accuracy")
        margin = Margin(0.01, "one point of accuracy")
        for schedule in table.columns.drop(ACTCOOLR):
            estimate = estimate_mean((table[ACTCOOLR] - table[schedule]).to_numpy())
            text = f"accuracy with ActCooLR minus that with {schedule}"
            case = judged(schedule, text, estimate, judge_alike, margin, epochs=study.epochs("cooling"))
            yield case if schedule == ONE_CYCLE else case.beside()
