"""Path-SGD from networks that are out of balance."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import ADAM, SGD, compare_chosen
from scaleinv.report.effects.verdicts import judge_alike
from scaleinv.report.studies import Study


class PathSGDIgnoresTheStart(Claim):
    """The same loss from the rescaled start as from the default one; SGD, AdaGrad and Adam beside."""

    source = "P4 6.1"
    quote = "DDP-SGD is node-wise rescaling invariant"
    figures = ("path_sgd",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Path-SGD decides."""
        for method in ("Path-SGD / weight", SGD, "AdaGrad / weight", ADAM):
            pair = [study.chosen("path_sgd", method, start__sigma=sigma) for sigma in (2.0, 0.0)]
            words = "loss from the rescaled start over the loss from the default start"
            case = compare_chosen(pair, method, words, judge_alike, study.epochs("path_sgd"))
            yield case if method.startswith("Path-SGD") else case.beside()
