"""G-space with the skeleton kept against G-space with the skeleton overwritten by ones."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import compare_chosen
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study


class OverwritingMakesTheDifference(Claim):
    """With the constant path factor, which keeps the drawn skeleton, the loss is higher than with ones."""

    source = "T 4.3"
    quote = "it may instead be a result of scaling the skeleton weights to one"
    figures = ("path_factor",)
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """SGD with the source's skeleton decides; another skeleton and Adam beside."""
        for optimizer in ("SGD", "Adam"):
            for skeleton in ("default", "maxprod"):
                kept, ones = (
                    study.chosen("path_factor", f"{optimizer} / {space}", space__fix=fix, space__skeleton=skeleton)
                    for space, fix in (("G, kept", "keep"), ("G", "overwrite"))
                )
                words = f"loss of {optimizer} in G-space with the skeleton kept over loss with the skeleton overwritten"
                name = f"{optimizer}, {skeleton} skeleton"
                case = compare_chosen([kept, ones], name, words, judge_higher, study.epochs("path_factor"))
                yield case if (optimizer, skeleton) == ("SGD", "default") else case.beside()
