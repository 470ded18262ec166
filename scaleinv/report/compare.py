"""Compare two methods from their records: every effect with interval, p-value, verdict and rule. No torch.

    scaleinv-compare results/runs --methods "SGD / G" "SGD / weight"
    scaleinv-compare results/release/cpu --experiment memory --methods "SGD / G" "SGD / weight" --out compare

Each verdict is about the claim that the first method is better than the second: lower loss, lower sensitivity to the
learning rate, broader range of good learning rates, fewer diverged members, fewer epochs to a loss. Each seed's
learning rate is chosen on the other seeds. p-values are two-sided; the column Holm corrects them for the number of
rows.
"""

import argparse
import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.commands._text import columns
from scaleinv.report.commands.compare import add_options
from scaleinv.report.effects.choice import (
    BEST,
    HELD_OUT,
    PROTOCOLS,
    choose,
    differences,
    epoch_curves,
    has_test_set,
    loss_ratio,
    loss_tables,
)
from scaleinv.report.effects.intervals import Estimate, estimate_mean
from scaleinv.report.effects.rates import (
    common_best,
    diverged_share,
    ends_inside,
    good_decades,
    good_level,
    own_best,
    sensitivity,
)
from scaleinv.report.effects.speed import epochs_to, restricted
from scaleinv.report.effects.verdicts import (
    UNDECIDED,
    Judgement,
    Margin,
    holm,
    judge_higher,
    judge_lower,
    seeds_margin,
    share_margin,
)
from scaleinv.report.figures.forest import draw
from scaleinv.report.figures.style import save
from scaleinv.report.methods import with_methods
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import metrics_file
from scaleinv.runs.outcomes import say
from scaleinv.runs.records import done_runs, experiment_runs, load_experiment, load_records
from scaleinv.runs.suggestions import did_you_mean

# Shares of (loss of chance - best loss): a learning rate is good if its loss is above the best by at most a TOLERANCE;
# epochs are counted to a loss that is above the best by ARRIVED; EQUAL_SHARE is the margin of equal losses.
TOLERANCES, ARRIVED, EQUAL_SHARE = (0.02, 0.1), 0.05, 0.01


@dataclass(frozen=True)
class Row:
    """One effect of the first method against the second.

    Attributes:
        effect: description of the number.
        estimate: the number with its interval.
        margin: size up to which the effect counts as none.
        judgement: verdict on the claim that the first method is better.
        lower_is_better: whether a negative effect (a ratio below 1) favours the first.
    """

    effect: str
    estimate: Estimate
    margin: Margin
    judgement: Judgement
    lower_is_better: bool = True


def compare(
    records: pd.DataFrame, first: str, second: str, measure: str = "val_loss", unit: str = "seeds"
) -> pd.DataFrame:
    """Compare two methods on every data set on which both were run.

    Args:
        records: records with the column ``method``; one member per method, data set, learning rate and seed.
        first: name of the first method.
        second: name of the second method.
        measure: column of the loss to compare.
        unit: unit of the margins. "seeds": one standard deviation between seeds. "share": 1 % of (loss before training
            - best loss); losses are then compared by differences instead of ratios.

    Returns:
        One row per effect: ``dataset``, ``effect``, ``value``, ``low``, ``high``, ``n``, ``of``, ``p``, ``holm``,
        ``verdict``, ``rule``; and ``scaled``, ``scaled_low``, ``scaled_high``: the effect and its interval in units of
        the margin, negative where the first method is better.

    Raises:
        UserError: a method is unknown, members are missing, or several members would be pooled.
    """
    if measure not in records or not measure.endswith("_loss"):
        losses = [name for name in map(str, records) if name.endswith("_loss")]
        raise UserError(f"there is no loss {measure!r}", "", did_you_mean(measure, losses))
    known = sorted(set(records["method"]))
    for name in (first, second):
        if name not in known:
            near = sorted((other for other in known if other.startswith(name)), key=len) or get_close_matches(
                name, known, 6, 0.0
            )
            more = f" ({len(known)} in all; choose fewer runs)" if len(known) > 6 else ""
            raise UserError(f"there is no method {name!r}", "", f"there are {'; '.join(near[:6])}{more}")
    rows = []
    for dataset, own in records.groupby("dataset", sort=False):
        pair = [own[own["method"] == name] for name in (first, second)]
        if not any(one.empty for one in pair):
            rows += [_cells(str(dataset), row) for row in _effects(pair, measure, unit)]
    if not rows:
        raise UserError(f"{first} and {second} have no data set in common")
    table = pd.DataFrame(rows)
    table.insert(list(table).index("p") + 1, "holm", holm(table["p"].to_numpy()))
    return table


def _effects(pair: Sequence[pd.DataFrame], measure: str, unit: str) -> Iterator[Row]:
    """Yield the effects of two methods, given their records on one data set."""
    untrained = [one[one["epoch"] == 0] for one in pair]  # epoch 0 has no training loss
    chance = float(min(one[measure].fillna(one["val_loss"]).median() for one in untrained))
    protocols = [name for name in PROTOCOLS if name != HELD_OUT or all(has_test_set(one, measure) for one in pair)]
    tables = {protocol: [loss_tables(one, protocol, measure) for one in pair] for protocol in protocols}
    grids = [tuned for tuned, _ in tables[BEST]]
    best = common_best(*grids)
    lowest = float(best.min())

    chosen = {protocol: [choose(*one) for one in both] for protocol, both in tables.items()}
    for protocol, methods in chosen.items():
        if unit == "share":
            pairs = differences(*(method.losses for method in methods))
            estimate = estimate_mean(pairs, contested=any(method.contested for method in methods))
            margin, name = share_margin(chance, lowest, EQUAL_SHARE), "difference"
        else:
            estimate, name = loss_ratio(*methods), "ratio"
            margin = seeds_margin(*(method.logs for method in methods))
        at_edge = any(method.at_edge for method in methods)
        yield Row(f"loss {name}, {protocol}", estimate, margin, judge_lower(estimate, margin, at_edge))

    if grids[0].columns.equals(grids[1].columns) and grids[0].shape[1] > 1:
        yield from _over_rates(grids, best, chance, unit)

    methods, level = chosen[BEST], lowest + ARRIVED * (chance - lowest)
    horizon = float(pair[0]["epoch"].max())
    curves = [epoch_curves(one, method.rates, measure) for one, method in zip(pair, methods, strict=True)]
    times = [epochs_to(curve, level) for curve in curves]
    pairs = differences(*(restricted(time, horizon) for time in times))
    estimate = estimate_mean(pairs, contested=any(method.contested for method in methods))
    margin = Margin(0.05 * horizon, f"5 % of {horizon:g} epochs")
    judgement = judge_lower(estimate, margin, any(method.at_edge for method in methods))
    if all(np.isinf(time).all() for time in times):
        judgement = Judgement(UNDECIDED, "neither method reached the loss", 1.0)
    yield Row(f"epochs to loss {level:.3g}, restricted mean", estimate, margin, judgement)


def _over_rates(grids: Sequence[pd.DataFrame], best: pd.Series, chance: float, unit: str) -> Iterator[Row]:
    """Yield the effects over the whole grid of learning rates, which is the same for both methods."""
    lowest = float(best.min())
    above = [sensitivity(grid, chance) for grid in grids]
    estimate = estimate_mean(differences(*above))
    margin = share_margin(chance, lowest, EQUAL_SHARE) if unit == "share" else seeds_margin(*above)
    yield Row("learning-rate sensitivity", estimate, margin, judge_lower(estimate, margin))

    for tolerance in TOLERANCES:
        own_levels = [good_level(own_best(grid), tolerance, chance) for grid in grids]
        for name, levels in (("own", own_levels), ("common", [good_level(best, tolerance, chance)] * 2)):
            widths = [good_decades(grid, level, chance) for grid, level in zip(grids, levels, strict=True)]
            cut = any(ends_inside(grid, level, chance) for grid, level in zip(grids, levels, strict=True))
            estimate = estimate_mean(differences(*widths))
            margin = Margin(0.1, "a tenth of a decade")
            text = f"good decades, {name} best + {100 * tolerance:g} %"
            yield Row(text, estimate, margin, judge_higher(estimate, margin, cut), lower_is_better=False)

    shares = [diverged_share(grid) for grid in grids]
    if any(share.any() for share in shares):
        estimate = estimate_mean(differences(*shares))
        margin = Margin(0.05, "one learning rate in twenty")
        yield Row("share of rates that diverge", estimate, margin, judge_lower(estimate, margin))


def _cells(dataset: str, row: Row) -> dict[str, object]:
    estimate, judgement = row.estimate, row.judgement
    ends = np.array([estimate.value, estimate.low, estimate.high])
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = (np.log(ends) if estimate.is_ratio else ends) / row.margin.size * (1 if row.lower_is_better else -1)
    value, *interval = scaled
    cells = {"dataset": dataset, "effect": row.effect, "value": ends[0], "low": ends[1], "high": ends[2]}
    cells |= {"n": estimate.n, "of": estimate.of, "p": judgement.p, "verdict": judgement.verdict}
    return cells | {
        "rule": judgement.rule,
        "scaled": value,
        "scaled_low": min(interval),
        "scaled_high": max(interval),
    }


def as_text(table: pd.DataFrame, width: int | None = None) -> str:
    """Write the table for a terminal, each verdict with its rule below it.

    Args:
        table: from :func:`compare`.
        width: characters to keep to; a narrow terminal gets further lines. None for any.
    """
    lines = []
    for dataset, rows in table.groupby("dataset", sort=False):
        wide = [f"{dataset!s:<50}{'effect [95 % interval]':<28}{'n':<10}{'p':<9}{'Holm':<9}verdict"]
        narrow = [str(dataset)]
        for row in rows.to_dict("records"):
            interval = f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            counted = f"{row['n']} {row['of']}"
            numbers = f"{interval:<28}{counted:<10}{row['p']:<9.2g}{row['holm']:<9.2g}"
            wide += [f"  {row['effect']:<48}{numbers}{row['verdict']}", f"      {row['rule']}"]
            narrow += [f"  {row['effect']}: {row['verdict']}"]
            narrow += [f"      {interval}, {counted}, p = {row['p']:.2g}, Holm {row['holm']:.2g}"]
            narrow += textwrap.wrap(row["rule"], width or 80, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines += wide if width is None or max(map(len, wide)) <= width else narrow
    lines.append("Percentages of widths are of (loss before training - best loss).")
    return "\n".join(lines)


def named_sweeps(records: pd.DataFrame, conditions: Sequence[str], where: object) -> pd.DataFrame:
    """Keep the sweeps that meet every ``KEY=VALUE``, and name their methods.

    Raises:
        UserError: there is none, or a key is unknown.
    """
    if records.empty or "optimizer" not in records:
        raise UserError("there are no finished runs", where, "scaleinv-run makes them")
    return with_methods(_matching(records[records["optimizer"].notna()], conditions))


def present(
    records: pd.DataFrame, runs: Sequence[Path], pair: Sequence[str], options: argparse.Namespace, command: str
) -> None:
    """Compare, print, and draw if ``options.out`` says where.

    Args:
        records: records with the column ``method``.
        runs: folders that the records are from.
        pair: names of the two methods.
        options: ``measure``, ``margin`` and ``out``.
        command: the command, which is saved beside the picture.
    """
    first, second = pair
    table = compare(records, first, second, options.measure, options.margin)
    say(as_text(table, columns()))
    if options.out is not None:
        used = set(records.loc[records["method"].isin(pair), "run"])
        inputs = [metrics_file(run) for run in runs if run.name in used]
        say("\n".join(map(str, save(draw(table, first, second), options.out, inputs, command))))


def _matching(records: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Keep the records that meet every ``KEY=VALUE``."""
    for condition in conditions:
        key, _, value = condition.partition("=")
        if key not in records:
            raise UserError(f"records have no column {key!r}", condition, did_you_mean(key, list(map(str, records))))
        records = records[records[key].astype(str) == value]
    return records


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scaleinv-compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("records", nargs="+", type=Path, help="run folders, or folders above them; a study's folder")
    parser.add_argument("--methods", nargs=2, required=True, metavar=("A", "B"), help='e.g. "SGD / G" "SGD / weight"')
    parser.add_argument("--experiment", help="take only this experiment of a study's folder")
    add_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command, load the records, compare, print, draw."""
    options = _parser().parse_args(arguments)
    try:
        if options.experiment:
            records = load_experiment(options.records[0], options.experiment, None)
            runs = experiment_runs(options.records[0], options.experiment)
        else:
            records, runs = load_records(*options.records, keys=None), done_runs(*options.records)
        named = named_sweeps(records, options.where, " ".join(map(str, options.records)))
        command = shlex.join(["scaleinv-compare", *(sys.argv[1:] if arguments is None else arguments)])
        present(named, runs, options.methods, options, command)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
