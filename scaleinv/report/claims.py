"""The claims of the sources, each a function of a study's records: confirmed, refuted or undecided. No torch.

    python -m scaleinv.report.claims results/release/cpu [--out STEM]

Losses of two methods are compared by ratios, paired by seed: geometric means over the seeds, each method at its own
best learning rate. Intervals are percentile bootstraps over the seeds; the learning rate is chosen again in every
resample, so the intervals include the uncertainty of that choice. In ``source``, "T" is the thesis and "M" the abstract
of the G-SGD paper.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.members import best_epochs, decades_of_good, last_epoch, nearest_lrs
from scaleinv.report.methods import refuse_differences, refuse_to_pool, with_methods
from scaleinv.report.output import refuse_foreign
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import write_atomically
from scaleinv.runs.records import load_experiment, read_index

CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"
RESAMPLES, LEVEL = 4000, 0.95
# Losses that differ by less than this factor count as equal.
EQUAL = 1.05
# With fewer seeds an interval says little: four seeds all agree by chance in one case of eight.
FEWEST_SEEDS = 5


@dataclass(frozen=True)
class Effect:
    """A measured number with its interval.

    Attributes:
        value: the estimate.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        n: number of paired seeds (or networks).
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Finding:
    """The result for one case of a claim.

    Attributes:
        case: the data set, and what is compared.
        effect: the measured effect, which decides.
        measures: description of the effect.
        verdict: confirmed, refuted, undecided, or "measured" where there is nothing to judge.
    """

    case: str
    effect: Effect
    measures: str
    verdict: str


@dataclass(frozen=True)
class Claim:
    """A claim of a source.

    Attributes:
        name: short name.
        source: document and section.
        quote: the words of the source.
        judge: function from the records of a study to findings.
    """

    name: str
    source: str
    quote: str
    judge: Callable[["Study"], Iterator[Finding]]


CLAIMS: list[Claim] = []


def claim(source: str, quote: str) -> Callable[[Callable], Callable]:
    """Register a function as the judge of a quoted claim."""

    def register(judge: Callable[["Study"], Iterator[Finding]]) -> Callable:
        CLAIMS.append(Claim(judge.__name__.replace("_", " "), source, quote, judge))
        return judge

    return register


class Study:
    """The records of a study, experiment by experiment, as tables of losses: seeds x learning rates."""

    def __init__(self, folder: str | Path) -> None:
        """Read from a folder with an ``index.json``."""
        self._folder = folder
        self.records = lru_cache(maxsize=None)(self._records)

    def _records(self, experiment: str, *shown: str) -> pd.DataFrame:
        """Read an experiment; ``shown`` are keys that the claim separates by itself."""
        records = load_experiment(self._folder, experiment, None)
        if "optimizer" in records:
            return with_methods(records, shown)
        refuse_differences(records, shown)
        return records

    def datasets(self, experiment: str) -> list[str]:
        """List the data sets of an experiment."""
        return list(dict.fromkeys(self.records(experiment)["dataset"]))

    def losses(
        self, experiment: str, method: str, dataset: str = "", measure: str = "val_loss", **where: object
    ) -> pd.DataFrame:
        """Return best losses over the epochs, one row per seed, one column per learning rate; infinite where diverged.

        Args:
            experiment: name of the experiment.
            method: name of the method, ``optimizer / space``.
            dataset: name of the data set; empty if the experiment has only one.
            measure: column of the loss.
            where: values that further columns must have; a ``.`` in the column's name is written ``__``.
        """
        records = self.records(experiment, *(column.replace("__", ".") for column in where))
        keep = records["method"] == method
        if dataset:
            keep &= records["dataset"] == dataset
        for column, value in where.items():
            keep &= records[column.replace("__", ".")] == value
        best = best_epochs(records[keep], measure)
        if best.empty:
            what = f"{experiment} has no records of {method}" + (f" on {dataset}" if dataset else "")
            raise UserError(what, str(self._folder), f"there are {'; '.join(sorted(set(records['method'])))}")
        if best["dataset"].nunique() > 1:
            raise UserError(f"{experiment} has several data sets, the claim is about one", str(self._folder))
        return best.pivot(index="seed", columns="lr", values=measure)


def bootstrap(statistic: Callable[[np.ndarray], float], n: int) -> Effect:
    """Return a statistic with its percentile bootstrap interval over the seeds.

    Args:
        statistic: function from an array of seed positions, with repeats, to a number.
        n: number of seeds.
    """
    generator = np.random.default_rng(0)
    draws = np.array([statistic(generator.integers(n, size=n)) for _ in range(RESAMPLES)])
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws, [tail, 100 - tail], method="inverted_cdf")
    return Effect(float(statistic(np.arange(n))), float(low), float(high), n)


def _log_best(losses: pd.DataFrame) -> Callable[[np.ndarray], float]:
    """Return a function from seed positions to the log geometric mean loss at the best learning rate for them."""
    logs = np.log(losses.to_numpy())
    return lambda seeds: float(logs[seeds].mean(0).min())


def ratio(first: pd.DataFrame, second: pd.DataFrame) -> Effect:
    """Compare two methods: loss of the first over loss of the second, each at its best learning rate."""
    first, second = _paired(first, second)
    a, b = _log_best(first), _log_best(second)
    return bootstrap(lambda seeds: _exp(a(seeds) - b(seeds)), len(first))


def ratio_at(first: pd.DataFrame, second: pd.DataFrame, lr: float) -> Effect:
    """Compare two methods at one learning rate."""
    first, second = _paired(first, second)
    logs = np.log(first[lr].to_numpy()) - np.log(second[lr].to_numpy())
    return bootstrap(lambda seeds: _exp(float(logs[seeds].mean())), len(logs))


def _paired(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    seeds = sorted(set(first.index) & set(second.index))
    return first.loc[seeds], second.loc[seeds]


def _exp(log: float) -> float:
    return float(np.exp(log)) if np.isfinite(log) else float("inf")


def range_difference(first: pd.DataFrame, second: pd.DataFrame) -> Effect:
    """Compare the widths, in decades, of the ranges of learning rates within 10 % of the method's own best loss."""
    first, second = _paired(first, second)

    def width(losses: pd.DataFrame, seeds: np.ndarray) -> float:
        return decades_of_good(np.asarray(losses.columns, dtype=float), np.median(losses.to_numpy()[seeds], axis=0))

    return bootstrap(lambda seeds: width(first, seeds) - width(second, seeds), len(first))


def is_within(effect: Effect, low: float, high: float) -> str:
    """Judge the claim that a number lies in a range: undecided unless its interval is entirely inside or outside."""
    if effect.n < FEWEST_SEEDS:
        return UNDECIDED
    if low <= effect.low and effect.high <= high:
        return CONFIRMED
    return REFUTED if effect.high < low or effect.low > high else UNDECIDED


def is_below(effect: Effect, bound: float) -> str:
    """Judge the claim that a number is below a bound."""
    return is_within(effect, -np.inf, np.nextafter(bound, -np.inf))


def is_above(effect: Effect, bound: float) -> str:
    """Judge the claim that a number is above a bound."""
    return is_within(effect, np.nextafter(bound, np.inf), np.inf)


SGD, ADAM = "SGD / weight", "Adam / weight"
G_SGD, G_ADAM, G_ADAM_PUBLISHED = "SGD / G", "Adam / G", "Adam, no memory / G"
FIXED_SGD, FIXED_ADAM, KEPT_SGD = "SGD / fixed", "Adam / fixed", "SGD / fixed, kept"


def _ratio_text(first: str, second: str) -> str:
    return f"loss of {first} over loss of {second}"


@claim("T 4.1", "both G-space based methods do not significantly improve the loss compared to their counterparts")
def g_space_does_not_improve(study: Study) -> Iterator[Finding]:
    """An improvement by more than 5 % is excluded."""
    for dataset in study.datasets("memory"):
        for first, second in ((G_SGD, SGD), (G_ADAM_PUBLISHED, ADAM)):
            effect = ratio(study.losses("memory", first, dataset), study.losses("memory", second, dataset))
            yield Finding(f"{dataset}, {first}", effect, _ratio_text(first, second), is_above(effect, 1 / EQUAL))


@claim("M", "G-SGD significantly outperforms the conventional SGD algorithm in optimizing ReLU networks")
def g_sgd_outperforms_sgd(study: Study) -> Iterator[Finding]:
    """The loss is lower, in validation and in training."""
    for dataset in study.datasets("memory"):
        for measure in ("val_loss", "train_loss"):
            pair = (study.losses("memory", method, dataset, measure) for method in (G_SGD, SGD))
            effect = ratio(*pair)
            yield Finding(f"{dataset}, {measure}", effect, _ratio_text(G_SGD, SGD), is_below(effect, 1))


@claim("T 4.1", "G-Adam consistently underperforms relative to the other optimizers for both MNIST and CIFAR-10")
def published_g_adam_underperforms(study: Study) -> Iterator[Finding]:
    """The published one, which forgets its state at every step, against each of the others."""
    for dataset in study.datasets("memory"):
        for other in (SGD, ADAM, G_SGD):
            first = study.losses("memory", G_ADAM_PUBLISHED, dataset)
            effect = ratio(first, study.losses("memory", other, dataset))
            yield Finding(f"{dataset}, vs {other}", effect, _ratio_text(G_ADAM_PUBLISHED, other), is_above(effect, 1))


@claim("T 4.1", "The concept of first and second momentum does not appear to translate well to the path space")
def memory_does_not_help_in_g_space(study: Study) -> Iterator[Finding]:
    """With the state kept, the loss should then not be lower than without."""
    for dataset in study.datasets("memory"):
        for first, second in ((G_ADAM, G_ADAM_PUBLISHED), ("momentum / G", G_SGD)):
            effect = ratio(study.losses("memory", first, dataset), study.losses("memory", second, dataset))
            yield Finding(f"{dataset}, {first}", effect, _ratio_text(first, second), is_above(effect, 1 / EQUAL))


@claim("T 5.1", "Adam performed notably worse on the G-space")
def adam_with_memory_is_worse_in_g_space(study: Study) -> Iterator[Finding]:
    """Adam with its state kept, in G-space against weight space: worse by more than 5 %."""
    for dataset in study.datasets("memory"):
        effect = ratio(study.losses("memory", G_ADAM, dataset), study.losses("memory", ADAM, dataset))
        yield Finding(dataset, effect, _ratio_text(G_ADAM, ADAM), is_above(effect, EQUAL))


@claim("T 4.1", "G-SGD seems to be stable across a broader range")
def g_sgd_has_a_broader_range(study: Study) -> Iterator[Finding]:
    """Learning rates within 10 % of the method's own best loss."""
    yield from _broader_range(study, "memory", G_SGD)


def _broader_range(study: Study, experiment: str, method: str) -> Iterator[Finding]:
    for dataset in study.datasets(experiment):
        effect = range_difference(study.losses(experiment, method, dataset), study.losses(experiment, SGD, dataset))
        yield Finding(dataset, effect, f"decades of good lr, {method} minus {SGD}", is_above(effect, 0))


@claim("T 4.1", "G-SGD converges much faster than standard SGD for smaller choices of learning rates")
def g_sgd_is_faster_at_small_rates(study: Study) -> Iterator[Finding]:
    """At the two rates of the grid nearest to 0.001 and 0.0005."""
    yield from _at_small_rates(study, "memory", G_SGD)


def _at_small_rates(study: Study, experiment: str, method: str) -> Iterator[Finding]:
    for dataset in study.datasets(experiment):
        first, second = study.losses(experiment, method, dataset), study.losses(experiment, SGD, dataset)
        for lr in sorted(set(nearest_lrs(first.columns.astype(float), (0.001, 0.0005)))):
            effect = ratio_at(first, second, lr)
            yield Finding(f"{dataset}, lr {lr:g}", effect, _ratio_text(method, SGD), is_below(effect, 1))


@claim("T 4.1", "Ultimately however, Adam still performs better than our G-space based methods")
def adam_is_best(study: Study) -> Iterator[Finding]:
    """Against all three: SGD, Adam as published, and Adam with its state kept."""
    for dataset in study.datasets("memory"):
        for other in (G_SGD, G_ADAM_PUBLISHED, G_ADAM):
            effect = ratio(study.losses("memory", ADAM, dataset), study.losses("memory", other, dataset))
            yield Finding(f"{dataset}, vs {other}", effect, _ratio_text(ADAM, other), is_below(effect, 1))


@claim("T 4.2.1", "Fixed SGD performs slightly better than standard SGD")
def fixed_sgd_is_better(study: Study) -> Iterator[Finding]:
    """The loss is lower."""
    for dataset in study.datasets("fig_4_4"):
        effect = ratio(study.losses("fig_4_4", FIXED_SGD, dataset), study.losses("fig_4_4", SGD, dataset))
        yield Finding(dataset, effect, _ratio_text(FIXED_SGD, SGD), is_below(effect, 1))


@claim("T 4.2.1", "Fixed Adam shows only a minor drop in performance compared to regular Adam")
def fixed_adam_loses_little(study: Study) -> Iterator[Finding]:
    """Worse, by at most 10 %."""
    for dataset in study.datasets("fig_4_4"):
        effect = ratio(study.losses("fig_4_4", FIXED_ADAM, dataset), study.losses("fig_4_4", ADAM, dataset))
        yield Finding(dataset, effect, _ratio_text(FIXED_ADAM, ADAM), is_within(effect, 1.0, 1.1))


@claim("T 4.2.1", "Fixed SGD seems to overfit less [than] standard SGD")
def fixed_sgd_overfits_less(study: Study) -> Iterator[Finding]:
    """Validation over training loss in the last epoch, each method at its best learning rate."""
    for dataset in study.datasets("fig_4_4"):
        gaps = [_last_gap(study, method, dataset) for method in (FIXED_SGD, SGD)]
        logs = (gaps[0] - gaps[1]).dropna().to_numpy()
        effect = bootstrap(lambda seeds, logs=logs: _exp(float(logs[seeds].mean())), len(logs))  # type: ignore[misc]
        text = f"(validation over training loss) of {FIXED_SGD} over that of {SGD}"
        yield Finding(dataset, effect, text, is_below(effect, 1))


def _last_gap(study: Study, method: str, dataset: str) -> pd.Series:
    """Return log(validation loss / training loss) of the last epoch by seed, at the method's best learning rate."""
    losses = study.losses("fig_4_4", method, dataset)
    lr = losses.columns[int(np.log(losses.to_numpy()).mean(0).argmin())]
    records = study.records("fig_4_4")
    rows = records[(records["method"] == method) & (records["dataset"] == dataset) & (records["lr"] == lr)]
    last = rows[rows["epoch"] == rows["epoch"].max()].set_index("seed")
    return np.log(last["val_loss"] / last["train_loss"])


@claim("T 4.2.1", "Fixed SGD without setting weights to one behaves like a more unstable variant of SGD")
def kept_weights_are_worse(study: Study) -> Iterator[Finding]:
    """Higher loss, and fewer good learning rates."""
    kept, plain = study.losses("fig_4_6", KEPT_SGD), study.losses("fig_4_6", SGD)
    effect = ratio(kept, plain)
    yield Finding("best loss", effect, _ratio_text(KEPT_SGD, SGD), is_above(effect, 1))
    effect = range_difference(kept, plain)
    yield Finding("range", effect, f"decades of good lr, {KEPT_SGD} minus {SGD}", is_below(effect, 0))


@claim("T 5.1", "Both Fixed SGD and G-SGD showed greater robustness against the learning rate choice")
def fixed_sgd_has_a_broader_range(study: Study) -> Iterator[Finding]:
    """The part on Fixed SGD; for G-SGD see above. Learning rates within 10 % of the method's own best loss."""
    yield from _broader_range(study, "fig_4_4", FIXED_SGD)


@claim("T 5.1", "[Fixed SGD and G-SGD] converging faster than standard SGD for small learning rates")
def fixed_sgd_is_faster_at_small_rates(study: Study) -> Iterator[Finding]:
    """The part on Fixed SGD; for G-SGD see above."""
    yield from _at_small_rates(study, "fig_4_4", FIXED_SGD)


@claim("T 4.2.2", "This leads to an unbalanced network which was numerically unstable during training")
def reparametrized_networks_train_worse(study: Study) -> Iterator[Finding]:
    """The reparametrised start against the default one, with exact gradients."""
    for method in (SGD, ADAM):
        starts = [study.losses("unbalanced", method, start__name=name) for name in ("reparametrized", "default")]
        effect = ratio(starts[0], starts[1])
        yield Finding(method, effect, "loss from the reparametrised start over the default", is_above(effect, 1))
    fixed, plain = (
        study.losses("unbalanced", "SGD / fixed, reparametrised", start__name="default"),
        study.losses("unbalanced", SGD, start__name="default"),
    )
    effect = ratio(fixed, plain)
    text = "loss of SGD in the reparametrised network's fixed-weight space over SGD"
    yield Finding("SGD / fixed, reparametrised", effect, text, is_above(effect, 1))


def _value_cube(study: Study, dataset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log losses after the last epoch, (seeds, values, lrs), with the values and learning rates."""
    own = study.records("fig_4_7", "value")
    own = own[own["dataset"] == dataset]
    refuse_to_pool(own, ["dataset"])
    table = last_epoch(own).pivot(index=["seed", "value"], columns="lr", values="val_loss")
    values = table.index.get_level_values("value").unique().to_numpy(dtype=float)
    cube = np.log(table.to_numpy()).reshape(-1, len(values), table.shape[1])
    return cube, values, table.columns.to_numpy(dtype=float)


@claim("T 4.2.3", "A clear correlation between the network performance, learning rate and fixed weight scale")
def fixed_value_and_rate_trade_off(study: Study) -> Iterator[Finding]:
    """Rank correlation of the fixed value with the best learning rate for it, over values."""
    for dataset in study.datasets("fig_4_7"):
        cube, values, rates = _value_cube(study, dataset)

        def correlation(
            seeds: np.ndarray, cube: np.ndarray = cube, values: np.ndarray = values, rates: np.ndarray = rates
        ) -> float:
            best = rates[np.median(cube[seeds], axis=0).argmin(1)]
            ranks = pd.Series(best).rank().to_numpy()
            if ranks.std() == 0:
                return 0.0
            return float(np.corrcoef(pd.Series(values).rank().to_numpy(), ranks)[0, 1])

        effect = bootstrap(correlation, len(cube))
        yield Finding(dataset, effect, "rank correlation of fixed value and its best lr", is_below(effect, 0))


@claim("T 4.2.3", "there seems to be no clear advantage of setting the b to any specific value")
def no_value_wins(study: Study) -> Iterator[Finding]:
    """Loss of the best value over loss of the value nearest 1; each seed's value and lr are chosen on the others."""
    for dataset in study.datasets("fig_4_7"):
        cube, values, _ = _value_cube(study, dataset)
        one = int(np.abs(values - 1).argmin())
        logs = []
        for seed in range(len(cube)):
            others = np.delete(cube, seed, axis=0).mean(0)
            value, lr = np.unravel_index(others.argmin(), others.shape)
            logs.append(cube[seed, value, lr] - cube[seed, one, others[one].argmin()])
        gains = np.array(logs)
        effect = bootstrap(lambda seeds, gains=gains: _exp(float(gains[seeds].mean())), len(gains))  # type: ignore[misc]
        text = "loss with the best fixed value over loss with 1"
        yield Finding(dataset, effect, text, is_above(effect, 1 / EQUAL))


@claim("T 4.3", "G-SGD and Fixed SGD behave quite similarly")
def fixed_sgd_behaves_like_g_sgd(study: Study) -> Iterator[Finding]:
    """Best losses within 5 %, ranges of good learning rates within half a decade."""
    fixed, g = study.losses("fig_4_10", FIXED_SGD), study.losses("fig_4_10", G_SGD)
    effect = ratio(fixed, g)
    yield Finding("best loss", effect, _ratio_text(FIXED_SGD, G_SGD), is_within(effect, 1 / EQUAL, EQUAL))
    effect = range_difference(fixed, g)
    yield Finding("range", effect, f"decades of good lr, {FIXED_SGD} minus {G_SGD}", is_within(effect, -0.5, 0.5))


@claim("T 4.3", "with weight fixing showing a slight advantage")
def fixed_sgd_beats_g_sgd(study: Study) -> Iterator[Finding]:
    """The loss is lower."""
    effect = ratio(study.losses("fig_4_10", FIXED_SGD), study.losses("fig_4_10", G_SGD))
    yield Finding("best loss", effect, _ratio_text(FIXED_SGD, G_SGD), is_below(effect, 1))


@claim("T 5.1", "Much of the performance variation appears to stem from the choice of the fixed parameter values")
def start_matters_more_than_space(study: Study) -> Iterator[Finding]:
    """Main effects of the start and of the space on the log loss, in the 2 x 2 of weight and cycle space."""
    for optimizer in ("SGD", "Adam"):
        arms = {
            (start, space): _log_best(study.losses("start_or_space", f"{optimizer} / {space}", start__name=start))
            for start in ("default", "overwritten")
            for space in ("weight", "cycle")
        }
        n = len(study.losses("start_or_space", f"{optimizer} / weight", start__name="default"))

        def main_effect(of_start: bool, seeds: np.ndarray, arms: dict = arms) -> float:
            signs = {"default": -1, "overwritten": 1} if of_start else {"weight": -1, "cycle": 1}
            return sum(signs[arm[0 if of_start else 1]] * log(seeds) for arm, log in arms.items()) / 2

        def difference(seeds: np.ndarray, main_effect: Callable = main_effect) -> float:
            return abs(main_effect(True, seeds)) - abs(main_effect(False, seeds))

        def interaction(seeds: np.ndarray, arms: dict = arms) -> float:
            both = [arms["overwritten", space](seeds) - arms["default", space](seeds) for space in ("cycle", "weight")]
            return both[0] - both[1]

        effect = bootstrap(difference, n)
        text = "size of the main effect of the start minus that of the space, log loss"
        yield Finding(f"{optimizer}, weight and cycle space", effect, text, is_above(effect, 0))
        for name, statistic in (
            ("start: overwritten over default", lambda seeds, f=main_effect: f(True, seeds)),
            ("space: cycle over weight", lambda seeds, f=main_effect: f(False, seeds)),
            ("interaction", interaction),
        ):
            effect = bootstrap(statistic, n)
            yield Finding(f"{optimizer}, {name}", effect, "effect on the log loss", "measured")


@claim("T 6.1.1", "the number of effective scale invariances is less than the number of hidden nodes")
def fewer_invariances_than_hidden_nodes(study: Study) -> Iterator[Finding]:
    """Number of weights minus rank minus hidden nodes; the interval is the range over networks, not a bootstrap."""
    records = study.records("invariances")
    table = records.groupby(["network", "bias"]).agg({"parameters": "first", "hidden": "first", "path_rank": "first"})
    ranks = {"paths": table["path_rank"], "function": records.groupby(["network", "bias"])["jacobian_rank"].max()}
    for name, rank in ranks.items():
        excess = table["parameters"] - rank - table["hidden"]
        effect = Effect(float(excess.mean()), float(excess.min()), float(excess.max()), len(excess))
        verdict = CONFIRMED if effect.high < 0 else REFUTED if effect.low >= 0 else UNDECIDED
        yield Finding(f"rank of the {name}", effect, "invariances minus hidden nodes (range over networks)", verdict)


@claim("T 2.2.4", "behave the same as the original [...] size of exactly m - H [...] f^-1 f(theta) = theta")
def unit_tests_of_g_space(study: Study) -> Iterator[Finding]:
    """Largest and smallest deviation over networks and seeds; confirmed below 1e-9."""
    records = study.records("gspace_facts")
    for fact, rows in records.groupby("fact", sort=False):
        worst = rows["value"].abs()
        effect = Effect(float(worst.median()), float(worst.min()), float(worst.max()), len(worst))
        verdict = CONFIRMED if effect.high < 1e-9 else REFUTED if effect.low > 1e-9 else UNDECIDED
        yield Finding(str(fact), effect, "largest deviation (median and range over networks and seeds)", verdict)


def judge_all(folder: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """Judge every claim from the records of a study.

    Returns:
        One row per case, and one message per claim that lacks records.

    Raises:
        MissingError: the folder holds no study.
    """
    read_index(folder)
    study = Study(folder)
    rows, problems = [], []
    for one in CLAIMS:
        try:
            for finding in one.judge(study):
                effect = finding.effect
                rows.append(
                    {
                        "claim": one.name,
                        "source": one.source,
                        "quote": one.quote,
                        "case": finding.case,
                        "verdict": finding.verdict,
                        "effect": effect.value,
                        "low": effect.low,
                        "high": effect.high,
                        "n": effect.n,
                        "measures": finding.measures,
                    }
                )
        except UserError as error:
            problems.append(f"not judged: {one.name}\n{error}")
    return pd.DataFrame(rows), problems


def as_markdown(table: pd.DataFrame) -> str:
    """Write the findings as a Markdown table."""
    lines = ["| claim (source) | case | verdict | effect [95 % interval] | n | of |", "| - | - | - | - | - | - |"]
    before = ""
    for row in table.to_dict("records"):
        name = f"“{row['quote']}” ({row['source']})" if row["claim"] != before else ""
        before = row["claim"]
        numbers = f"{row['effect']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
        verdict = f"**{row['verdict']}**" if row["verdict"] in (CONFIRMED, REFUTED) else row["verdict"]
        lines.append(f"| {name} | {row['case']} | {verdict} | {numbers} | {row['n']} | {row['measures']} |")
    return "\n".join(lines) + "\n"


def write_claims(table: pd.DataFrame, stem: Path) -> None:
    """Write the findings to ``stem.csv`` and ``stem.md``.

    Raises:
        UserError: one of them is there and holds something else.
    """
    contents = {".csv": table.to_csv(index=False, float_format="%.6g", lineterminator="\n"), ".md": as_markdown(table)}
    files = {stem.with_name(stem.name + ending): text.encode() for ending, text in contents.items()}
    heads = {content.split(b"\n")[0] for content in files.values()}
    for path in files:
        refuse_foreign(path, is_ours=lambda old: old.split(b"\n")[0] in heads)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_atomically(path, content)


def summary_markdown(table: pd.DataFrame) -> str:
    """Write one line per claim: numbers of cases confirmed, refuted and undecided, and the effect of the first case."""
    lines = ["| claim (source) | cases | first case: effect [95 % interval] |", "| - | - | - |"]
    for _, rows in table.groupby("claim", sort=False):
        first = rows.iloc[0]
        counts = rows.loc[rows["verdict"] != "measured", "verdict"].value_counts()
        verdicts = ", ".join(
            f"{counts[verdict]} {verdict}" for verdict in (CONFIRMED, REFUTED, UNDECIDED) if verdict in counts
        )
        numbers = f"{first['effect']:.3g} [{first['low']:.3g}, {first['high']:.3g}], n = {first['n']}"
        effect = f"{first['case']}: {first['measures']} {numbers}"
        lines.append(f"| “{first['quote']}” ({first['source']}) | {verdicts} | {effect} |")
    return "\n".join(lines) + "\n"


def print_table(table: pd.DataFrame) -> None:
    """Print the findings, one block per claim."""
    for claim_name, rows in table.groupby("claim", sort=False) if len(table) else []:
        first = rows.iloc[0]
        print(f"{claim_name} ({first['source']}: {first['quote']!r})")
        for row in rows.to_dict("records"):
            numbers = f"{row['effect']:>8.3g} [{row['low']:.3g}, {row['high']:.3g}], n = {row['n']}"
            print(f"  {row['verdict']:<10} {row['case']:<34} {numbers:<36} {row['measures']}")


def main() -> None:
    """Parse the command, judge, print, and write the findings with ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m scaleinv.report.claims", description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, help="a study's folder, with index.json")
    parser.add_argument("--out", type=Path, help="also write OUT.csv and OUT.md")
    options = parser.parse_args()
    try:
        table, problems = judge_all(options.records)
        print_table(table)
        if options.out is not None and len(table):
            write_claims(table, options.out)
    except UserError as error:
        sys.exit(str(error))
    for text in problems:
        print(text, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
