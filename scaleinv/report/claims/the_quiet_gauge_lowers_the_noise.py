"""The rescaling with the least noise against the gauge of training: a question of our own (E-8.3)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study
from scaleinv.report.tosses import by_seed, networks, tosses


class TheQuietGaugeLowersTheNoise(Claim):
    """Read with one sample, accuracy is higher in the quiet gauge; balanced and equalized stand beside it."""

    source = "P 4.2.3"
    quote = "reducing stochasticity"
    figures = ("binarization",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network at the smallest number of samples."""
        records = study.records("binarization", "network.name")
        for network in networks(records):
            own = tosses(records, "samples", network=network, folded=True)
            own = own[own["samples"] == own.loc[own["samples"] > 0, "samples"].min()]
            plain = by_seed(own[own["gauge"] == "trained"])
            for gauge in ("quiet", "balanced", "equalized"):
                pair = by_seed(own[own["gauge"] == gauge]), plain
                text = f"accuracy in the {gauge} gauge minus that of training"
                case = difference(f"{network}, {gauge}", text, pair, judge_higher, HALF_A_POINT, 0)
                yield case if gauge == "quiet" else case.beside()
