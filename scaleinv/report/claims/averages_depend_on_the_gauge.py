"""The average of snapshots in weights and in the balanced gauge: a question of our own."""

from collections.abc import Iterator

from scaleinv.report.claims._push import ratio
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import Margin, judge_lower
from scaleinv.report.pushes import by_method
from scaleinv.report.studies import Study


class AveragesDependOnTheGauge(Claim):
    """The average in the balanced gauge has a lower negative log likelihood than that of the weights."""

    source = "B 1.2.2"
    quote = "local minimas are connected by valleys"
    figures = ("ensembles",)

    def cases(self, study: Study) -> Iterator[Case]:
        """SWA and plain snapshots; independent seeds, which no average of weights can combine, beside them."""
        records = study.records("ensembles")
        for method in ("SWA", "snapshots", "independent seeds"):
            pair = [by_method(records, method, way)["nll"] for way in ("balanced", "weights")]
            text = "NLL of the average in the balanced gauge over that in weights"
            case = ratio(method, text, pair, judge_lower, 0, Margin(0.01, "1 %"))
            yield case.beside() if method == "independent seeds" else case
