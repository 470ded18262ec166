"""What a claim is: the words of a source, the cases in which records can decide it, and one verdict."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from scaleinv.report.effects.intervals import Estimate
from scaleinv.report.effects.verdicts import NO_MARGIN, UNDECIDED, Judgement, Margin, conjunction
from scaleinv.report.studies import Study

# Where there is nothing to judge.
MEASURED = "measured"
# With fewer seeds an interval says little: four seeds all agree by chance in one case of eight.
FEWEST = 5
Judge = Callable[[Estimate, Margin, bool], Judgement]


@dataclass(frozen=True)
class Case:
    """One comparison that bears on a claim.

    Attributes:
        name: the data set, and what is compared.
        measures: description of the number.
        estimate: the number with its interval.
        judgement: verdict on the claim in this case, with its rule; None where there is nothing to judge.
        margin: size up to which the effect counts as none.
        decides: whether the claim's verdict depends on it; other cases stand beside it for comparison.
        epochs: epochs that the members were trained for; 0 where nothing was trained.
    """

    name: str
    measures: str
    estimate: Estimate
    judgement: Judgement | None
    margin: Margin = NO_MARGIN
    decides: bool = True
    epochs: int = 0

    @property
    def verdict(self) -> str:
        """The verdict, or "measured"."""
        return self.judgement.verdict if self.judgement else MEASURED

    def beside(self) -> "Case":
        """Return the case as one that decides nothing."""
        return replace(self, decides=False)


def judged(
    name: str,
    measures: str,
    estimate: Estimate,
    judge: Judge,
    margin: Margin = NO_MARGIN,
    at_edge: bool = False,
    epochs: int = 0,
) -> Case:
    """Judge an estimate, unless it is based on fewer than :data:`FEWEST` numbers.

    Args:
        name: see :class:`Case`.
        measures: see :class:`Case`.
        estimate: see :class:`Case`.
        judge: ``judge_lower``, ``judge_higher``, ``judge_alike``, or :func:`denied` of one of them.
        margin: see :class:`Case`.
        at_edge: whether a best learning rate is at an edge of the grid.
        epochs: see :class:`Case`.
    """
    judgement = judge(estimate, margin, at_edge)
    if estimate.n < FEWEST:
        rule = f"fewer than {FEWEST} {estimate.of} decide nothing; {judgement.rule}"
        judgement = replace(judgement, verdict=UNDECIDED, rule=rule)
    return Case(name, measures, estimate, judgement, margin, epochs=epochs)


def denied(judge: Judge) -> Judge:
    """Return the judge of the negated claim ("does not ...")."""
    return lambda estimate, margin, at_edge: judge(estimate, margin, at_edge).negated()


class Claim(ABC):
    """A claim of a source: one subclass per file of this folder, found by the file's name.

    Attributes:
        source: document and section, e.g. "T 4.1"; ``docs/sources.md`` explains the letters.
        quote: the words of the source.
        figures: names of the figures that show the evidence.
        source_epochs: epochs after which the source compared losses; fewer in the records are named in the rule.
        needs_epochs: epochs without which the claim cannot be decided, whatever the cases say.
    """

    source: ClassVar[str]
    quote: ClassVar[str]
    figures: ClassVar[tuple[str, ...]] = ()
    source_epochs: ClassVar[int] = 0
    needs_epochs: ClassVar[int] = 0

    @property
    def name(self) -> str:
        """The name of the file."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def cases(self, study: Study) -> Iterator[Case]:
        """Judge the cases of a study.

        Raises:
            MissingError: the study lacks the records; the message says how to make them.
        """

    def verdict(self, cases: Sequence[Case]) -> Judgement:
        """Judge the claim as a whole: by its only deciding case, or by the conjunction of several."""
        parts = [case.judgement for case in cases if case.decides and case.judgement]
        if not parts:
            return Judgement(UNDECIDED, "no case decides", 1.0)
        whole = parts[0] if len(parts) == 1 else conjunction(parts)
        trained = min(case.epochs for case in cases if case.decides)
        if trained < self.needs_epochs:
            rule = f"needs {self.needs_epochs} epochs, the records have {trained}; at this budget {whole.verdict}"
            return Judgement(UNDECIDED, f"{rule}: {whole.rule}", whole.p)
        if trained < self.source_epochs:
            return replace(whole, rule=f"{whole.rule}; after {trained} epochs, the source: {self.source_epochs}")
        return whole
