"""Training with coin tosses against floats (C-5.2)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study
from scaleinv.report.tosses import by_seed, networks, tosses


class TrainingWithSamplesHelps(Claim):
    """Trained and read with one sample, against trained in floats and read with one."""

    source = "P 4.2.2"
    quote = "Results show higher accuracies when trained directly with PSB, compared to converting"
    figures = ("binarization",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network; the gauge of training, no batch norm."""
        records = study.records("binarization", "network.name")
        for network in networks(records):
            pair = []
            for trained, folded in (("trained at 1", False), ("float", True)):
                own = tosses(records, "samples", trained, network=network, gauge="trained", folded=folded)
                pair.append(by_seed(own[own["samples"] == 1]))
            text = "accuracy at one sample, trained so minus trained in floats"
            yield difference(network, text, pair, judge_higher, HALF_A_POINT, 0)
