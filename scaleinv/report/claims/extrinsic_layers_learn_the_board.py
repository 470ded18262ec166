"""Extrinsic layers against an ordinary network with as many parameters (C-6C.1)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import Margin, judge_alike
from scaleinv.report.studies import Study


class ExtrinsicLayersLearnTheBoard(Claim):
    """As accurate on the board as the ordinary network, within five points."""

    source = "P A.3.1"
    quote = "the number of parameters in intermediate layers doesn't scale quadratically with the number of filters"
    figures = ("boards",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Three layers in two dimensions, and with a homogeneous coordinate, from the stable start."""
        records = study.records("boards")
        own = records[(records["part"] == "accuracy") & (records["labels"] == "board")]
        plain = own[own["network"] == "50-50-50"].set_index("seed")["accuracy"]
        for network in ("extrinsic", "extrinsic, homogeneous"):
            pair = own[own["network"] == network].set_index("seed")["accuracy"], plain
            text = "accuracy minus that of the ordinary network"
            yield difference(network, text, pair, judge_alike, Margin(0.05, "five points of accuracy"), 0)
