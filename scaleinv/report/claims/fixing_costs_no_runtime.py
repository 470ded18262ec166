"""The training time with fixed weights, from the benchmark."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_alike
from scaleinv.report.studies import Study


class FixingCostsNoRuntime(Claim):
    """The same time as in weight space, within 5 %."""

    source = "T 3.0.6"
    quote = "zero additional runtime during optimization"
    figures = ("bench",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every setting of the benchmark (network, members, optimizer) is one number."""
        table = study.benchmark()
        seconds = table.set_index(["network", "members", "optimizer", "space"])["seconds"].unstack("space")
        ratios = (seconds["fixed"] / seconds["weight"]).dropna().to_numpy()
        estimate = estimate_mean(np.log(ratios), of="settings").as_ratio()
        margin = Margin(float(np.log(1.05)), "5 %")
        yield judged(
            "training time", "seconds with fixed weights over seconds in weight space", estimate, judge_alike, margin
        )
