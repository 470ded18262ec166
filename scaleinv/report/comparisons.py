"""Comparisons that several claims make: of losses, of whole learning-rate curves, of times to a loss."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case, Judge, judged
from scaleinv.report.effects.choice import BEST, HELD_OUT, LAST, Chosen, differences, loss_ratio
from scaleinv.report.effects.intervals import estimate_mean
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
from scaleinv.report.effects.verdicts import Margin, judge_higher, judge_lower, seeds_margin
from scaleinv.report.members import nearest_lrs
from scaleinv.report.studies import Study

SGD, ADAM = "SGD / weight", "Adam / weight"
G_SGD, G_ADAM, G_ADAM_PUBLISHED = "SGD / G", "Adam / G", "Adam, no memory / G"
FIXED_SGD, FIXED_ADAM, KEPT_SGD = "SGD / fixed", "Adam / fixed", "SGD / fixed, kept"
# Small learning rates of the source.
SMALL = (0.001, 0.0005)


def label(*words: str) -> str:
    """Join the words that are not empty."""
    return ", ".join(word for word in words if word)


def compare_chosen(pair: Sequence[Chosen], name: str, measures: str, judge: Judge, epochs: int = 0) -> Case:
    """Judge the ratio of two methods' losses; the margin is the standard deviation between seeds."""
    first, second = pair
    estimate, margin = loss_ratio(first, second), seeds_margin(first.logs, second.logs)
    return judged(name, measures, estimate, judge, margin, first.at_edge or second.at_edge, epochs)


def loss_cases(
    study: Study,
    experiment: str,
    first: str,
    second: str,
    dataset: str,
    judge: Judge,
    name: str = "",
    measure: str = "val_loss",
) -> Iterator[Case]:
    """Judge the loss of one method over that of another, three times.

    The best epoch, which is the source's protocol, decides. Beside it stand the last epoch, which pays for the choice
    of the epoch, and where both methods were run with held-out images, the test loss at the epoch and learning rate
    that those choose.
    """
    text, epochs = f"loss of {first} over loss of {second}", study.epochs(experiment, dataset)
    for protocol in (BEST, LAST):
        pair = [study.chosen(experiment, method, dataset, protocol, measure) for method in (first, second)]
        words = label(dataset, name, measure if measure != "val_loss" else "", protocol)
        case = compare_chosen(pair, words, text, judge, epochs)
        yield case if protocol == BEST else case.beside()
    if measure == "val_loss" and all(study.has("heldout", method, dataset) for method in (first, second)):
        pair = [study.chosen("heldout", method, dataset, HELD_OUT) for method in (first, second)]
        words, epochs = label(dataset, name, HELD_OUT), study.epochs("heldout", dataset)
        yield compare_chosen(pair, words, text, judge, epochs).beside()


def sensitivity_case(study: Study, experiment: str, first: str, second: str, dataset: str, name: str = "") -> Case:
    """Judge the claim that a method is less sensitive to the learning rate.

    Sensitivity is the mean over the rates of the grid of min(loss, loss of chance), minus the own best loss.
    """
    chance = study.chance(experiment, dataset)
    above = [
        sensitivity(study.losses(experiment, method, dataset), chance, "cells").rename(method)
        for method in (first, second)
    ]
    text = f"learning-rate sensitivity of {first} minus that of {second}"
    estimate, margin = estimate_mean(differences(*above)), seeds_margin(*above)
    words, epochs = label(dataset, name, "sensitivity"), study.epochs(experiment, dataset)
    return judged(words, text, estimate, judge_lower, margin, epochs=epochs)


def width_cases(study: Study, experiment: str, first: str, second: str, dataset: str) -> Iterator[Case]:
    """Judge the claim that a method has the broader range of good learning rates.

    A rate is good if its loss is at most a multiple of a best loss: of the best of both methods (decides at twice the
    best), or of the own best, which favours bad methods.
    """
    chance = study.chance(experiment, dataset)
    grids = [study.losses(experiment, method, dataset) for method in (first, second)]
    best, epochs = common_best(*grids), study.epochs(experiment, dataset)
    for tolerance in (1.0, 0.1):
        for whose, bests in (("common", [best, best]), ("own", [own_best(grid) for grid in grids])):
            levels = [good_level(one, tolerance) for one in bests]
            widths = [good_decades(grid, level, chance) for grid, level in zip(grids, levels, strict=True)]
            cut = any(ends_inside(grid, level, chance) for grid, level in zip(grids, levels, strict=True))
            words = f"within {1 + tolerance:g} x the {whose} best"
            text = f"decades of good learning rates, {first} minus {second}"
            estimate, margin = estimate_mean(differences(*widths)), Margin(0.1, "a tenth of a decade")
            case = judged(label(dataset, words), text, estimate, judge_higher, margin, cut, epochs)
            yield case if (tolerance, whose) == (1.0, "common") else case.beside()


def speed_cases(study: Study, experiment: str, first: str, second: str, dataset: str) -> Iterator[Case]:
    """Judge the claim that a method needs fewer epochs to a loss, at the small rates of the grid.

    The loss is reached when half (decides), or 90 %, of (loss of chance - best loss of any method) is learned. A seed
    that does not reach it counts with all epochs.
    """
    chance, lowest = study.chance(experiment, dataset), study.lowest(experiment, dataset)
    horizon = study.epochs(experiment, dataset)
    rates = sorted(set(nearest_lrs(study.losses(experiment, second, dataset).columns.astype(float), SMALL)))
    for share in (0.5, 0.9):
        level = chance - share * (chance - lowest)
        for lr in rates:
            times = []
            for method in (first, second):
                seeds = study.losses(experiment, method, dataset).index
                curves = study.curves(experiment, method, dataset, pd.Series(lr, seeds))
                times.append(epochs_to(curves, level))
            reached = " and ".join(f"{int(np.isfinite(time).sum())} of {len(time)}" for time in times)
            estimate = estimate_mean(differences(*(restricted(time, horizon) for time in times)))
            words = label(dataset, f"lr {lr:g}", f"loss {level:.3g}")
            text = f"epochs to the loss, {first} minus {second}, at most {horizon:g} ({reached} seeds reach it)"
            margin = Margin(0.05 * horizon, f"5 % of {horizon:g} epochs")
            case = judged(words, text, estimate, judge_lower, margin, epochs=horizon)
            yield case if share == 0.5 else case.beside()


def divergence_case(pair: Sequence[pd.DataFrame], name: str, measures: str, epochs: int) -> Case:
    """Judge the claim that more members diverge with the first of two grids: the share of learning rates, by seed."""
    shares = [diverged_share(table) for table in pair]
    estimate = estimate_mean(differences(*shares))
    counts = " and ".join(f"{int(np.isinf(table.to_numpy()).sum())} of {table.size}" for table in pair)
    margin = Margin(0.05, "one learning rate in twenty")
    return judged(name, f"{measures} ({counts} members)", estimate, judge_higher, margin, epochs=epochs)
