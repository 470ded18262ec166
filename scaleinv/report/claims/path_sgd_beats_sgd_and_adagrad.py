"""Path-SGD against SGD and AdaGrad."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import SGD, compare_chosen
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study


class PathSGDBeatsSGDAndAdaGrad(Claim):
    """Lower loss from unbalanced networks, where the difference should be largest; from the default start beside.

    The source is the paper on Path-SGD, whose text was not at hand; P4 states what the method is for.
    """

    source = "P4 1"
    quote = "invariant to weight reparametrization"
    figures = ("path_sgd",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Two methods, two starts."""
        for sigma in (2.0, 0.0):
            for method in (SGD, "AdaGrad / weight"):
                pair = [study.chosen("path_sgd", one, start__sigma=sigma) for one in ("Path-SGD / weight", method)]
                name = f"{'rescaled' if sigma else 'default'} start"
                words = f"loss of Path-SGD over loss of {method}"
                case = compare_chosen(pair, f"{name}, {method}", words, judge_lower, study.epochs("path_sgd"))
                yield case if sigma else case.beside()
