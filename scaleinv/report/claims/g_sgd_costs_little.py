"""The training time in G-space, from the benchmark."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims.base import Case, Claim, denied, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_higher
from scaleinv.report.studies import Study


class GSGDCostsLittle(Claim):
    """At most a tenth more time than in weight space."""

    source = "M"
    quote = "with little extra cost by leveraging back-propagation"
    figures = ("bench",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every setting of the benchmark (network, members, optimizer) is one number."""
        table = study.benchmark()
        seconds = table.set_index(["network", "members", "optimizer", "space"])["seconds"].unstack("space")
        ratios = (seconds["gspace"] / seconds["weight"]).dropna().to_numpy()
        estimate = estimate_mean(np.log(ratios), of="settings").as_ratio()
        margin = Margin(float(np.log(1.1)), "a tenth")
        yield judged(
            "training time", "seconds with G-space over seconds in weight space", estimate, denied(judge_higher), margin
        )
