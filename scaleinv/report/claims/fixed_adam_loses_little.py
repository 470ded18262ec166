"""Adam with fixed weights against Adam."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, denied, judged
from scaleinv.report.comparisons import ADAM, FIXED_ADAM, loss_cases
from scaleinv.report.effects.choice import differences
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_higher, share_margin
from scaleinv.report.studies import Study


class FixedAdamLosesLittle(Claim):
    """The loss is higher, by at most 5 % of what can be learned, on every data set."""

    source = "T 4.2.1"
    quote = "Fixed Adam shows only a minor drop in performance compared to regular Adam"
    figures = ("fig_4_4", "fig_4_5")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """That there is a drop, and that it is minor."""
        for dataset in study.datasets("fig_4_4"):
            yield from loss_cases(study, "fig_4_4", FIXED_ADAM, ADAM, dataset, judge_higher, "drop")
            pair = [study.chosen("fig_4_4", method, dataset) for method in (FIXED_ADAM, ADAM)]
            lost = differences(*(one.losses for one in pair))
            estimate = estimate_mean(lost, contested=any(one.contested for one in pair))
            margin = share_margin(study.chance("fig_4_4", dataset), study.lowest("fig_4_4", dataset), 0.05)
            text = f"loss of {FIXED_ADAM} minus loss of {ADAM}"
            at_edge, epochs = any(one.at_edge for one in pair), study.epochs("fig_4_4", dataset)
            yield judged(f"{dataset}, minor", text, estimate, denied(judge_higher), margin, at_edge, epochs)
