"""From an estimate and a margin to a verdict, with the rule that gave it.

A claim, its opposite and its negation share one zone of equivalence, so that the verdict on a number does not depend on
how a document words the claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from scaleinv.report.effects.intervals import Estimate
from scaleinv.runs.errors import UserError

CONFIRMED, REFUTED, EQUIVALENT, UNDECIDED = "confirmed", "refuted", "equivalent", "undecided"
UNDECIDED_EDGE = "undecided (grid edge)"


@dataclass(frozen=True)
class Margin:
    """The size up to which an effect counts as none.

    Attributes:
        size: largest absolute log ratio, or largest absolute difference in the estimate's own units.
        why: where the size comes from, in words.
    """

    size: float
    why: str

    def zone(self, estimate: Estimate) -> tuple[float, float]:
        """Return both ends of the zone of equivalence on the scale of the estimate."""
        return (float(np.exp(-self.size)), float(np.exp(self.size))) if estimate.is_ratio else (-self.size, self.size)


NO_MARGIN = Margin(0.0, "no margin")


def seeds_margin(*samples: np.ndarray | pd.Series, times: float = 1.0) -> Margin:
    """Return a margin in standard deviations between seeds, the noise of a single training.

    Args:
        samples: for each method one number per seed, on the scale of the effect (log losses for ratios); the
            variances of the methods are averaged. Infinite numbers are left out.
        times: number of standard deviations.

    Raises:
        UserError: no method has two finite numbers.
    """
    numbers = [np.asarray(sample, dtype=float) for sample in samples]
    variances = [one[np.isfinite(one)].var(ddof=1) for one in numbers if np.isfinite(one).sum() > 1]
    if not variances:
        raise UserError("the spread between seeds needs two seeds that did not diverge", "", "run more seeds")
    size = times * float(np.sqrt(np.mean(variances)))
    return Margin(size, f"{times:g} standard deviation between seeds ({size:.3g})")


def share_margin(initial: float, best: float, share: float = 0.01) -> Margin:
    """Return a margin for differences of losses: a share of what can be learned, (initial loss - best loss).

    Args:
        initial: loss before training.
        best: lowest loss of any method on this data set.
        share: share of their difference.

    Raises:
        UserError: nothing was learned.
    """
    if not best < initial < np.inf:
        raise UserError(f"the best loss {best:.3g} is not below the loss before training {initial:.3g}")
    size = share * (initial - best)
    return Margin(size, f"{share:.3g} of (initial loss {initial:.3g} - best loss {best:.3g})")


@dataclass(frozen=True)
class Judgement:
    """A verdict and the rule that gave it.

    Attributes:
        verdict: confirmed, refuted, equivalent, undecided, or undecided (grid edge).
        rule: statistic, bound and reason, in a sentence.
        p: two-sided p-value of the verdict; if undecided, the smallest p-value of the possible verdicts.
    """

    verdict: str
    rule: str
    p: float

    def negated(self) -> "Judgement":
        """Judge the negated claim ("does not ...") by the same bound: equivalent confirms it."""
        turned = {CONFIRMED: REFUTED, REFUTED: CONFIRMED, EQUIVALENT: CONFIRMED}.get(self.verdict, self.verdict)
        return replace(self, verdict=turned, rule=f"negation of: {self.rule}")


def judge_lower(estimate: Estimate, margin: Margin = NO_MARGIN, at_edge: bool = False) -> Judgement:
    """Judge the claim that the truth is lower than no effect, by more than the margin.

    Confirmed: the interval lies entirely below the zone of equivalence. Refuted: entirely above. Equivalent: entirely
    inside, which is two one-sided tests at 2.5 % each. Otherwise, or if a best learning rate is ``at_edge`` of the
    grid, undecided.
    """
    return _judge(estimate, margin, (CONFIRMED, EQUIVALENT, REFUTED), at_edge)


def judge_higher(estimate: Estimate, margin: Margin = NO_MARGIN, at_edge: bool = False) -> Judgement:
    """Judge the claim that the truth is higher than no effect, by more than the margin; see :func:`judge_lower`."""
    return _judge(estimate, margin, (REFUTED, EQUIVALENT, CONFIRMED), at_edge)


def judge_alike(estimate: Estimate, margin: Margin, at_edge: bool = False) -> Judgement:
    """Judge the claim that there is no effect larger than the margin, in either direction; see :func:`judge_lower`."""
    return _judge(estimate, margin, (REFUTED, CONFIRMED, REFUTED), at_edge)


def _judge(estimate: Estimate, margin: Margin, verdicts: tuple[str, str, str], at_edge: bool) -> Judgement:
    """Return one of three verdicts: for an interval below the zone of equivalence, inside it, or above it."""
    low, high = margin.zone(estimate)
    lies = (estimate.high < low, low < estimate.low and estimate.high < high, estimate.low > high)
    ps = (
        2 * estimate.p_less(low),
        2 * max(estimate.p_greater(low), estimate.p_less(high)),
        2 * estimate.p_greater(high),
    )
    decided = [(verdict, p) for verdict, p, here in zip(verdicts, ps, lies, strict=True) if here]
    verdict, p = decided[0] if decided else (UNDECIDED, min(ps))
    rule = (
        f"95 % interval ({estimate.how}) below {low:.3g}: {verdicts[0]}; within [{low:.3g}, {high:.3g}]:"
        f" {verdicts[1]}; above {high:.3g}: {verdicts[2]}; otherwise undecided; bound: {margin.why}"
    )
    if at_edge:
        verdict, rule = UNDECIDED_EDGE, f"undecided because the best or good rates reach the edge of the grid; {rule}"
    return Judgement(verdict, rule, min(1.0, p))


def conjunction(parts: Sequence[Judgement]) -> Judgement:
    """Judge a claim about several cases together ("consistently", "on both data sets").

    Confirmed if all cases are, which needs no correction for their number; refuted if any case is, or is equivalent,
    because a claimed effect is then not there; otherwise undecided.
    """
    if not parts:
        raise UserError("a claim without cases cannot be judged")
    verdicts = [part.verdict for part in parts]
    rule = f"all of {len(parts)} cases confirmed: confirmed; any refuted or equivalent: refuted; otherwise undecided"
    if all(verdict == CONFIRMED for verdict in verdicts):
        return Judgement(CONFIRMED, rule, max(part.p for part in parts))
    against = [verdict in (REFUTED, EQUIVALENT) for verdict in verdicts]
    if any(against):
        corrected = holm([part.p for part in parts])
        return Judgement(REFUTED, rule, float(min(p for p, here in zip(corrected, against, strict=True) if here)))
    return Judgement(UNDECIDED, rule, max(part.p for part in parts))


def holm(ps: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number by the method of Holm (1979).

    p_(i) -> max over j <= i of min(1, (m - j + 1) p_(j)), for p_(1) <= ... <= p_(m). The probability of any false
    decision among the m cases is then at most the level.
    """
    values = np.asarray(ps, dtype=float)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
