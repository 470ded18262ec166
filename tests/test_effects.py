"""Promise: intervals cover, choices do not pay themselves, a verdict follows its printed rule, diverged is infinite."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audited import require_audited
from scipy import stats

from scaleinv.report.compare import compare, main
from scaleinv.report.comparisons import ADAM, FIXED_SGD, G_ADAM, G_ADAM_PUBLISHED, G_SGD, SGD
from scaleinv.report.effects.choice import (
    BEST,
    HELD_OUT,
    LAST,
    choose,
    differences,
    epoch_curves,
    leave_one_out,
    log_ratios,
    loss_ratio,
    loss_tables,
)
from scaleinv.report.effects.contrasts import larger_effect, slopes, two_by_two
from scaleinv.report.effects.intervals import (
    estimate_mean,
    estimate_median,
    estimate_statistic,
    t_interval,
)
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
    CONFIRMED,
    EQUIVALENT,
    REFUTED,
    UNDECIDED,
    UNDECIDED_EDGE,
    Judgement,
    Margin,
    conjunction,
    holm,
    judge_alike,
    judge_higher,
    judge_lower,
    seeds_margin,
    share_margin,
)
from scaleinv.report.members import last_epoch
from scaleinv.report.studies import Study
from scaleinv.runs.errors import UserError

RELEASE = Path(__file__).parents[1] / "results" / "release" / "cpu"
RATES = [0.001, 0.01, 0.1, 1.0]
CHANCE = float(np.log(10))
LOG_RATIOS = {
    "normal": (lambda draw, shape: draw.normal(size=shape), 0.0),
    "lognormal": (lambda draw, shape: draw.lognormal(sigma=0.25, size=shape), np.exp(0.25**2 / 2)),
    "heavy": (lambda draw, shape: draw.standard_t(5, size=shape), 0.0),
}


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("law", LOG_RATIOS)
def test_the_interval_of_a_mean_covers(law, n):
    draw, truth = LOG_RATIOS[law]
    samples = draw(np.random.default_rng(0), (40_000, n))
    _, low, high = t_interval(samples)
    assert 0.93 < np.mean((low <= truth) & (truth <= high)) < 0.97
    estimate = estimate_mean(samples[0])
    assert (estimate.low, estimate.high) == (low[0], high[0])


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("law", LOG_RATIOS)
def test_the_interval_covers_with_the_choice_of_the_rate(law, n):
    """Equally good methods, each with two rates that are nearly so: the very procedure of a comparison."""
    draw, _ = LOG_RATIOS[law]
    generator, trials = np.random.default_rng(1), 20_000
    luck, own_luck = draw(generator, (trials, 1, n, 1)), draw(generator, (trials, 2, n, 4))
    losses = np.exp(0.2 * (luck + own_luck) + [1.0, 0.02, 0.0, 1.5])
    rates = leave_one_out(losses)
    own = np.log(np.take_along_axis(losses, rates[..., None], -1)[..., 0])
    ratios, contested = own[:, 0] - own[:, 1], (np.ptp(rates, -1) > 0).any(-1)
    _, low, high = t_interval(ratios, contested=contested)
    assert 0.93 < np.mean((low <= 0) & (high >= 0)) < 0.97
    _, low, high = t_interval(ratios)
    assert np.mean((low <= 0) & (high >= 0)) < 0.93, "without the correction it does not cover"
    first, second = (choose(pd.DataFrame(table, columns=RATES)) for table in losses[0])
    estimate = loss_ratio(first, second)
    assert first.contested or second.contested or not contested[0]
    expected = t_interval(ratios[:1], contested=contested[:1])
    assert np.log([estimate.value, estimate.low, estimate.high]) == pytest.approx(np.array(expected)[:, 0])


@pytest.mark.parametrize("n", [5, 10])
def test_the_studentised_bootstrap_covers_where_the_percentile_interval_does_not(n):
    """Log ratio of arithmetic means of paired lognormal losses: a statistic that is no mean."""
    generator, trials, hits, percentile_hits = np.random.default_rng(2), 1000, 0, 0
    for _ in range(trials):
        losses = np.exp(0.3 * generator.normal(size=(1, n)) + 0.2 * generator.normal(size=(2, n)))

        def statistic(seeds, losses=losses):
            return np.log(losses[0][seeds].mean(-1) / losses[1][seeds].mean(-1))

        estimate = estimate_statistic(statistic, n, resamples=500)
        hits += estimate.low <= 0 <= estimate.high
        low, high = np.quantile(statistic(generator.integers(n, size=(500, n))), [0.025, 0.975])
        percentile_hits += low <= 0 <= high
    assert 0.93 <= hits / trials <= 0.97
    assert percentile_hits / trials < (0.88 if n == 5 else 0.92)


def test_the_interval_of_a_median_covers_and_takes_infinities():
    samples = np.random.default_rng(3).standard_cauchy(size=(2000, 10))
    intervals = [estimate_median(sample) for sample in samples]
    assert np.mean([one.low <= 0 <= one.high for one in intervals]) >= 0.97
    diverged = estimate_mean([np.inf] * 4 + [1.0, 2.0, 3.0])
    assert (diverged.value, diverged.low, diverged.high) == (np.inf, 1.0, np.inf)
    assert "median" in diverged.how
    assert not np.isfinite(estimate_mean([np.inf, 1, 2, 3, 4]).low)


def test_what_gives_no_interval_says_so():
    for estimate in (estimate_mean([0.5]), estimate_mean([1.0] * 5), estimate_statistic(lambda s: s.mean(-1) * 0, 5)):
        assert (estimate.low, estimate.high) == (-np.inf, np.inf)
        assert judge_lower(estimate).verdict == judge_higher(estimate).verdict == UNDECIDED
    with pytest.raises(UserError, match="no seeds"):
        estimate_mean([])
    with pytest.raises(UserError, match="NaN"):
        estimate_mean([1.0, np.nan])


@pytest.mark.parametrize("ratio", [False, True])
def test_p_values_agree_with_intervals(ratio):
    values = np.random.default_rng(4).normal(0.1, 0.2, size=8)
    mean = estimate_mean(values)
    assert mean.p() == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    for estimate in (mean, estimate_statistic(lambda s: np.abs(values[s].mean(-1)), 8), estimate_median(values)):
        shown = estimate.as_ratio() if ratio else estimate
        for end, way in ((shown.low, 1), (shown.high, -1)):
            assert shown.p(end - way * 0.01 * abs(end)) < 0.05 < shown.p(end + way * 0.01 * abs(end))


def table(rows):
    return pd.DataFrame(rows, columns=RATES, index=pd.RangeIndex(len(rows), name="seed"), dtype=float)


def test_each_seed_is_judged_at_the_rate_that_the_others_chose():
    losses = table([[1, 2, 9, 9], [2, 1, 9, 9], [2, 1, 9, 9]])
    chosen = choose(losses)
    assert list(chosen.rates) == [0.01, 0.001, 0.001]
    assert list(chosen.losses) == [2, 2, 2]
    assert list(choose(losses, together=True).losses) == [2, 1, 1]
    assert chosen.at_edge
    assert not choose(losses, together=True).at_edge
    assert list(choose(losses, losses * 10).losses) == [20, 20, 20]


def test_the_rate_with_fewest_diverged_members_is_chosen():
    losses = table([[3, 1, np.inf, np.inf], [3, np.inf, 1, np.inf], [3, 1, 1, np.inf]])
    chosen = choose(losses)
    assert list(chosen.rates) == [0.1, 0.01, 0.001]
    assert list(chosen.losses) == [np.inf, np.inf, 3]
    pairs = log_ratios(chosen.losses, pd.Series([np.inf, 1.0, 1.0]))
    assert list(pairs) == [0, np.inf, np.log(3)]
    assert list(differences(chosen.losses, pd.Series([np.inf, 1.0, 1.0]), per=2)) == [0, np.inf, 1]
    with pytest.raises(UserError, match="not run with every seed"):
        choose(table([[1, np.nan, 1, 1]] * 3))
    with pytest.raises(UserError, match="no others"):
        choose(losses[:1])


def members():
    """Records of two seeds and two rates over three epochs; one member diverges at its last."""
    rows = []
    for seed in (0, 1):
        for lr in (0.1, 1.0):
            for epoch in range(4):
                loss = (2.3, 1.0, 0.5, 0.8)[epoch] * (1 + seed) * lr
                bad = (seed, lr, epoch) == (1, 1.0, 3)
                rows.append((seed, lr, epoch, np.nan if bad else loss, 3 * loss, "diverged" if bad else "ok"))
    return pd.DataFrame(rows, columns=["seed", "lr", "epoch", "val_loss", "test_loss", "status"])


def test_three_protocols_read_three_losses():
    records = members().sample(frac=1, random_state=0).reset_index(drop=True)
    for protocol, loss in ((LAST, 0.8), (BEST, 0.5), (HELD_OUT, 0.5)):
        tuned, reported = loss_tables(records, protocol)
        assert tuned.loc[0, 0.1] == pytest.approx(loss * 0.1)
        assert reported.loc[0, 0.1] == pytest.approx(loss * 0.1 * (3 if protocol == HELD_OUT else 1))
        assert np.isinf(tuned.loc[1, 1.0])
        assert np.isinf(reported.loc[1, 1.0])
    same = records.assign(test_loss=records["val_loss"])
    with pytest.raises(UserError, match="the same set"):
        loss_tables(same, HELD_OUT)
    two = pd.concat([records.assign(momentum=0.0), records.assign(momentum=0.9)])
    with pytest.raises(UserError, match="differ in momentum"):
        loss_tables(two, BEST)


def test_sensitivity_is_the_mean_loss_above_the_own_best():
    losses = table([[2.0, 1.0, 1.5, np.inf]])
    assert sensitivity(losses, 3.0, "cells")[0] == pytest.approx((1 + 0 + 0.5 + 2) / 4)
    assert sensitivity(losses, 3.0)[0] == pytest.approx((0.5 + 0.25 + 1.25) / 3)
    finer = losses.assign(between=1.25).set_axis([*RATES, np.sqrt(0.001)], axis=1)  # on the line, so no news
    assert sensitivity(finer, 3.0)[0] == pytest.approx(sensitivity(losses, 3.0)[0])
    assert sensitivity(finer, 3.0, "cells")[0] < sensitivity(losses, 3.0, "cells")[0]
    assert sensitivity(table([[9.0, np.inf, 3.0, 4.0]]), 3.0)[0] == 0


def test_width_is_interpolated_and_names_its_best():
    losses = table(np.exp([[2.0, 1.0, 0.0, 1.0]]))
    own = good_level(own_best(losses), np.exp(0.5) - 1)
    assert good_decades(losses, own, np.exp(3))[0] == pytest.approx(1.0)
    coarse = losses.drop(columns=[0.01])
    assert good_decades(coarse, own, np.exp(3))[0] == pytest.approx(1.0)
    common = good_level(common_best(losses, losses / np.e), np.exp(1.5) - 1)
    assert common[0] == pytest.approx(own[0])
    assert good_level(own_best(losses), 0.1, chance=11.0)[0] == pytest.approx(2.0)
    assert not ends_inside(losses, own, np.exp(3))
    assert ends_inside(losses, own * 2, np.exp(3))
    assert good_decades(losses, own * 100, np.exp(3))[0] == pytest.approx(3.0)


def test_who_never_learns_has_no_good_range():
    """Every rate is within 10 % of the own best of a method that learns nowhere."""
    for row in ([2.31] * 4, [np.inf] * 4):
        losses = table([row])
        assert good_decades(losses, good_level(own_best(losses), 0.1), CHANCE)[0] == 0
        assert not ends_inside(losses, good_level(own_best(losses), 0.1), CHANCE)
    assert diverged_share(table([[1, 1, np.inf, np.inf], [1, 1, 1, 1]])).to_list() == [0.5, 0]


def test_epochs_to_a_loss_are_censored_where_it_is_not_reached():
    curves = pd.DataFrame(
        [[4, 2, 0.5], [4, 4, 3], [4, np.nan, np.nan], [1, 9, 9], [np.inf, np.inf, 0.5]], columns=[0, 1, 2]
    )
    times = epochs_to(curves, 1.0)
    assert times.to_list() == pytest.approx([1.5, np.inf, np.inf, 0, 2])
    assert restricted(times, 2).to_list() == pytest.approx([1.5, 2, 2, 0, 2])
    assert epochs_to(curves, pd.Series([2.0, 3.0, 1.0, 1.0, 1.0])).to_list()[:2] == [1, 2]
    records = members()
    curve = epoch_curves(records, pd.Series({0: 0.1, 1: 1.0}))
    assert estimate_median(times).value == 2
    assert curve.loc[0].to_list() == pytest.approx([0.23, 0.1, 0.05, 0.08])
    assert curve.loc[1].to_list() == [4.6, 2.0, 1.0, np.inf]


def test_effects_of_a_two_by_two_and_slopes():
    row, column, interaction = two_by_two(np.array([[[0.0, 1.0], [2.0, 2.0]], [[1.0, 3.0], [7.0, 5.0]]]))
    assert (row.tolist(), column.tolist(), interaction.tolist()) == ([3, 2.5], [4, 1.5], [4, 1])
    noise = np.random.default_rng(5).normal(scale=0.1, size=(2, 10))
    assert larger_effect(noise[0] - 1, noise[1] + 0.5).value == pytest.approx(0.5, abs=0.15)
    with pytest.raises(UserError, match="diverged"):
        two_by_two(np.full((2, 2, 3), np.inf))
    values, rates = np.array([0.1, 1.0, 10.0, 100.0]), np.array([0.001, 0.1, 10.0])
    losses = np.full((1, 4, 3), np.inf)
    losses[0, range(4), [2, 1, 0, 2]] = [1, 1, 1, 5]  # the last value never learns
    assert slopes(losses, values, rates, chance=2.3) == pytest.approx([-2])
    with pytest.raises(UserError, match="0 of 4"):
        slopes(losses, values, rates, chance=0.5)


def estimate(low, high):
    """An estimate whose 95 % interval is about (low, high)."""
    half = (high - low) / 2 / stats.t.ppf(0.975, 9)
    z = stats.norm.ppf((np.arange(10) + 0.5) / 10)
    return estimate_mean((low + high) / 2 + half * np.sqrt(10) * z / z.std(ddof=1))


@pytest.mark.parametrize(
    ("low", "high", "lower", "higher", "alike"),
    [
        (-3, -2, CONFIRMED, REFUTED, REFUTED),
        (-0.5, 0.5, EQUIVALENT, EQUIVALENT, CONFIRMED),
        (-0.5, 2, UNDECIDED, UNDECIDED, UNDECIDED),
        (-2, 0.5, UNDECIDED, UNDECIDED, UNDECIDED),
        (-2, 2, UNDECIDED, UNDECIDED, UNDECIDED),
        (2, 3, REFUTED, CONFIRMED, REFUTED),
    ],
)
def test_a_verdict_follows_its_interval_and_p_value(low, high, lower, higher, alike):
    margin = Margin(1.0, "a unit")
    for one in (estimate(low, high), estimate(low, high).as_ratio()):
        for judge, verdict in ((judge_lower, lower), (judge_higher, higher), (judge_alike, alike)):
            judged = judge(one, margin)
            assert judged.verdict == verdict
            assert (judged.p < 0.05) == (verdict != UNDECIDED)
            assert "95 % interval" in judged.rule
            assert "a unit" in judged.rule
            assert judge(one, margin, at_edge=True).verdict == UNDECIDED_EDGE
        opposite = judge_lower(one, margin).negated()
        assert opposite.verdict == {CONFIRMED: REFUTED, UNDECIDED: UNDECIDED}.get(lower, CONFIRMED)


def test_a_conjunction_gets_one_verdict():
    def parts(*verdicts):
        return conjunction([Judgement(verdict, "", 0.02) for verdict in verdicts])

    assert parts(CONFIRMED, CONFIRMED).verdict == CONFIRMED
    assert parts(CONFIRMED, REFUTED, UNDECIDED).verdict == REFUTED
    assert parts(CONFIRMED, REFUTED, UNDECIDED).p == pytest.approx(0.06)
    assert parts(CONFIRMED, EQUIVALENT).verdict == REFUTED  # the claimed effect is not there
    for other in (UNDECIDED, UNDECIDED_EDGE):
        assert parts(CONFIRMED, other).verdict == UNDECIDED


def test_holm_is_monotone_and_controls_the_family():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.9]) == pytest.approx([1, 1])
    null = np.random.default_rng(6).uniform(size=(4000, 20))
    assert np.mean([holm(ps).min() < 0.05 for ps in null]) == pytest.approx(0.05, abs=0.015)


def test_margins_mean_the_same_on_every_data_set():
    logs = np.random.default_rng(7).normal(scale=0.1, size=(2, 1000))
    assert seeds_margin(logs[0], logs[1] + 5).size == pytest.approx(0.1, rel=0.05)
    assert seeds_margin(2 * logs[0], np.array([np.inf, 1.0])).size == pytest.approx(0.2, rel=0.1)
    assert share_margin(2.3, 0.3, 0.01).size == pytest.approx(0.02)
    with pytest.raises(UserError, match="not below"):
        share_margin(2.3, 2.4)
    with pytest.raises(UserError, match="two seeds"):
        seeds_margin(np.array([1.0]))


# What an audit of the released records computed on its own.

study = pytest.fixture(scope="module")(lambda: Study(RELEASE))


EXPERIMENTS = {
    "test_equal_starts_of_the_release": "start_or_space",
    "test_memory_helps_more_in_weight_space": "memory",
    "test_start_and_space_of_the_release": "start_or_space",
    "test_slopes_of_the_release": "fig_4_7",
    "test_stability_of_the_release": "unbalanced",
}


@pytest.fixture(autouse=True)
def only_audited(request):
    """Skip a number of the audit if the released records of its experiment are others (more seeds, more epochs)."""
    if "study" not in request.fixturenames:
        return
    named = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    require_audited(RELEASE, named.get("experiment") or EXPERIMENTS[request.node.originalname])


def records_of(study, experiment, method, dataset):
    records = study.records(experiment)
    keep = (records["method"] == method) & (records["dataset"] == dataset)
    return records[keep]


def rounded(estimate):
    return tuple(round(float(end), 3) for end in (estimate.value, estimate.low, estimate.high))


@pytest.mark.parametrize(
    ("experiment", "dataset", "method", "protocol", "expected"),
    [
        ("fig_4_4", "mnist", FIXED_SGD, BEST, (1.113, 0.924, 1.341)),
        ("fig_4_4", "mnist", FIXED_SGD, LAST, (1.016, 0.742, 1.392)),
        ("heldout", "mnist", FIXED_SGD, HELD_OUT, (1.072, 1.038, 1.107)),
        ("memory", "cifar10", G_SGD, BEST, (0.945, 0.910, 0.982)),
        ("memory", "cifar10", G_SGD, LAST, (0.926, 0.849, 1.010)),
    ],
)
def test_ratios_of_the_release(study, experiment, dataset, method, protocol, expected):
    chosen = [
        choose(*loss_tables(records_of(study, experiment, name, dataset), protocol), together=True)
        for name in (method, SGD)
    ]
    assert rounded(loss_ratio(*chosen)) == expected


@pytest.mark.parametrize(
    ("experiment", "dataset", "method", "expected"),
    [
        ("memory", "mnist", G_SGD, (-0.318, -0.381, -0.254)),
        ("memory", "cifar10", G_SGD, (-0.152, -0.205, -0.100)),
        ("fig_4_4", "mnist", FIXED_SGD, (-0.205, -0.346, -0.063)),
        ("fig_4_4", "cifar10", FIXED_SGD, (-0.182, -0.232, -0.132)),
    ],
)
def test_sensitivities_of_the_release(study, experiment, dataset, method, expected):
    first, second = (sensitivity(study.losses(experiment, name, dataset), CHANCE, "cells") for name in (method, SGD))
    effect = estimate_mean(first - second)
    assert rounded(effect) == expected
    assert judge_lower(effect).verdict == CONFIRMED


def test_equal_starts_of_the_release(study):
    fixed, g = (
        choose(study.losses("start_or_space", method, start__name="overwritten"))
        for method in ("SGD / fixed, kept", "SGD / G, kept")
    )
    effect = loss_ratio(fixed, g)
    assert rounded(effect) == (0.990, 0.963, 1.018)
    assert effect.n == 10
    assert judge_alike(effect, seeds_margin(fixed.logs, g.logs)).verdict == CONFIRMED


@pytest.mark.parametrize(
    ("dataset", "expected"), [("mnist", (1.479, 1.332, 1.643)), ("cifar10", (1.021, 1.012, 1.030))]
)
def test_memory_helps_more_in_weight_space(study, dataset, expected):
    def gain(with_memory, without):
        return log_ratios(
            *(choose(study.losses("memory", name, dataset), together=True).losses for name in (without, with_memory))
        )

    effect = estimate_mean(gain(ADAM, "Adam, no memory / weight") - gain(G_ADAM, G_ADAM_PUBLISHED))
    assert rounded(effect.as_ratio()) == expected


@pytest.mark.parametrize(
    ("space", "expected"), [("cycle", 0.284), ("fixed, kept", 0.297), ("G, kept", -0.307), ("G, invariant", -0.279)]
)
def test_start_and_space_of_the_release(study, space, expected):
    cells = np.array(
        [
            [
                choose(study.losses("start_or_space", f"SGD / {name}", start__name=start)).logs
                for name in ("weight", space)
            ]
            for start in ("default", "overwritten")
        ]
    )
    effects = two_by_two(cells)
    assert round(larger_effect(effects.row, effects.column).value, 3) == expected
    interaction = estimate_mean(effects.interaction).value
    assert -2.65 < interaction < -2.25 if space.startswith("G") else abs(interaction) < 0.02


@pytest.mark.parametrize(
    ("dataset", "expected"), [("mnist", (-2.030, -2.159, -1.900)), ("cifar10", (-1.712, -1.860, -1.563))]
)
def test_slopes_of_the_release(study, dataset, expected):
    records = study.records("fig_4_7")
    last = last_epoch(records[records["dataset"] == dataset])
    cube = last.pivot(index=["seed", "value"], columns="lr", values="val_loss")
    values = cube.index.get_level_values("value").unique().to_numpy(dtype=float)
    losses = cube.to_numpy().reshape(-1, len(values), cube.shape[1])
    effect = estimate_mean(slopes(losses, values, cube.columns.to_numpy(dtype=float), CHANCE - 0.1))
    assert rounded(effect) == expected


def test_stability_of_the_release(study):
    shares = [diverged_share(study.losses("unbalanced", SGD, start__name=s)) for s in ("reparametrized", "default")]
    assert [round(float(share.sum()) * 9) for share in shares] == [14, 0]
    effect = estimate_mean(shares[0] - shares[1])
    assert rounded(effect) == (0.311, 0.160, 0.462)
    assert judge_higher(effect).verdict == CONFIRMED


def sweep(level, seeds=6, seed=0, diverges=False, epochs=(0, 1, 2, 3)):
    """Records of a sweep whose best loss, at the third of five rates, falls to about ``level``."""
    draw, rows = np.random.default_rng(seed), []
    for one in range(seeds):
        for lr, factor in zip(np.logspace(-3, 1, 5), (4, 2, 1, 2, 8), strict=True):
            noise = draw.lognormal(sigma=0.05)
            for epoch in epochs:
                loss = 2.3 if epoch == 0 else min(2.3, level * factor * noise * (4 - epoch))
                bad = diverges and lr > 9 and epoch == 3
                rows.append((lr, one, epoch, np.nan if bad else loss, loss, "diverged" if bad else "ok"))
    return pd.DataFrame(rows, columns=["lr", "seed", "epoch", "val_loss", "test_loss", "status"])


def two_methods():
    one, other = sweep(0.1).assign(method="A"), sweep(0.2, seed=1, diverges=True).assign(method="B")
    return pd.concat([one, other], ignore_index=True).assign(dataset="toy")


@pytest.mark.parametrize("unit", ["seeds", "share"])
def test_compare_finds_the_better_method_in_every_effect(unit):
    records = two_methods()
    there, back = (compare(records, *names, unit=unit).set_index("effect") for names in ("AB", "BA"))
    assert len(there) == 9
    for effect in there.index:
        if "own best" not in effect:
            assert there.loc[effect, "verdict"] == CONFIRMED, effect
            assert back.loc[effect, "verdict"] == REFUTED, effect
            assert there.loc[effect, "scaled_high"] < -1
    assert (there["holm"] >= there["p"]).all()
    assert (there["of"] == "seeds").all()
    assert there["rule"].str.len().min() > 40
    if unit == "seeds":
        assert there.loc["loss ratio, best epoch", "value"] == pytest.approx(0.5, rel=0.1)


def test_compare_marks_the_edge_of_the_grid_and_what_was_not_reached():
    records = two_methods()
    cut = compare(records[records["lr"] < 0.2], "A", "B").set_index("effect")["verdict"]
    assert cut["loss ratio, best epoch"] == UNDECIDED_EDGE
    assert cut["good decades, common best + 10 %"] == UNDECIDED_EDGE
    one_rate = compare(records[records["lr"] == 0.1], "A", "B")
    assert len(one_rate) == 3
    assert (one_rate["verdict"] == UNDECIDED_EDGE).all()
    with pytest.raises(UserError, match="there are A; B"):
        compare(records, "AA", "B")
    with pytest.raises(UserError, match="no loss 'val_accuracy'"):
        compare(records, "A", "B", "val_accuracy")
    with pytest.raises(UserError, match="in common"):
        compare(records.assign(dataset=records["method"]), "A", "B")
    alike = compare(
        pd.concat([records[records["method"] == "A"], sweep(0.1).assign(method="B", dataset="toy")]), "A", "B"
    )
    assert not (alike["verdict"].isin([CONFIRMED, REFUTED])).any()


def test_scaleinv_compare_prints_and_draws(tmp_path, capsys):
    command = [str(RELEASE), "--experiment", "start_or_space", "--where", "start.name=overwritten"]
    methods = ["--methods", "SGD / fixed, kept", "SGD / G, kept"]
    main([*command, *methods, "--out", str(tmp_path / "picture")])
    told = capsys.readouterr().out
    assert "loss ratio, best epoch" in told
    assert "0.99 [0.963, 1.02]" in told
    assert "10 seeds" in told
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    saved = pd.read_csv(tmp_path / "picture.csv")
    assert {"holm", "rule", "verdict"} <= set(saved)
    with pytest.raises(SystemExit, match="there are SGD / G, kept"):
        main([*command, "--methods", "SGD / G, kep", "SGD / G, kept"])
    with pytest.raises(SystemExit, match="no column 'start'"):
        main([str(RELEASE), "--experiment", "start_or_space", "--where", "start=x", *methods])
    with pytest.raises(SystemExit, match="there are SGD / fixed, kept, start default; SGD"):
        main([str(RELEASE), "--experiment", "start_or_space", *methods])
