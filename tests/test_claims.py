"""Promise: a verdict is what the numbers say, and numbers that say nothing decide nothing."""

import json

import numpy as np
import pandas as pd
import pytest

from scaleinv.report.claims import (
    CLAIMS,
    CONFIRMED,
    REFUTED,
    UNDECIDED,
    Effect,
    as_markdown,
    bootstrap,
    is_above,
    is_below,
    is_within,
    judge_all,
    range_difference,
    ratio,
    ratio_at,
    write_claims,
)
from scaleinv.report.members import best_lr, decades_of_good, good_range
from scaleinv.runs.errors import UserError

LRS = [0.001, 0.01, 0.1, 1.0]


def losses(level, seeds=10, noise=0.02, curve=(3.0, 1.5, 1.0, 4.0), seed=0):
    """Losses, seeds x learning rates, whose best is about ``level``; seeds share most of their luck."""
    generator = np.random.default_rng(seed)
    luck = np.random.default_rng(99).normal(scale=0.3, size=(seeds, 1))
    own = generator.normal(scale=noise, size=(seeds, len(LRS)))
    return pd.DataFrame(level * np.array(curve) * np.exp(luck + own), columns=LRS, index=range(seeds))


def test_pairing_sees_what_the_luck_of_the_seeds_hides():
    effect = ratio(losses(0.9, seed=1), losses(1.0, seed=2))
    assert effect.low < 0.9 < effect.high
    assert effect.high < 0.95
    assert is_below(effect, 1) == CONFIRMED
    assert is_above(effect, 1) == REFUTED


def test_no_effect_is_undecided_or_equal():
    effect = ratio(losses(1.0, seed=1), losses(1.0, seed=2))
    assert effect.low < 1 < effect.high
    assert is_below(effect, 1) == is_above(effect, 1) == UNDECIDED
    assert is_within(effect, 0.9, 1.1) == CONFIRMED


def test_two_seeds_decide_nothing():
    assert is_below(ratio(losses(0.5, seeds=2), losses(1.0, seeds=2)), 1) == UNDECIDED


def test_a_diverged_member_is_infinite_and_another_rate_is_taken():
    one = losses(1.0)
    one.loc[3, 0.1] = np.inf
    effect = ratio(one, losses(1.0))
    assert effect.value == pytest.approx(1.5, rel=0.05)
    assert ratio_at(one, losses(1.0), 0.1).value == np.inf


def test_the_choice_of_the_rate_is_part_of_the_interval():
    """Two rates that are equally good: choosing between them in each resample widens the interval downwards."""
    flat = losses(1.0, noise=0.3, curve=(1.0, 1.0, 1.0, 1.0), seed=5)
    fixed = bootstrap(lambda seeds: float(np.log(flat[0.1].to_numpy())[seeds].mean()), len(flat))
    chosen = bootstrap(lambda seeds: float(np.log(flat.to_numpy())[seeds].mean(0).min()), len(flat))
    assert chosen.value <= fixed.value
    assert chosen.low < fixed.low


def test_the_interval_covers():
    """A 95 % percentile interval of 20 seeds misses the truth in about one of twelve trials, not in one of three."""
    missed = 0
    for trial in range(60):
        sample = np.random.default_rng(trial).normal(size=20)
        effect = bootstrap(lambda seeds, sample=sample: float(sample[seeds].mean()), 20)
        missed += not effect.low <= 0 <= effect.high
    assert missed <= 12


def test_range_of_good_rates():
    assert decades_of_good(np.array(LRS), np.array([3.0, 1.05, 1.0, 4.0])) == pytest.approx(2)
    assert decades_of_good(np.array(LRS), np.array([1.0, 1.0, 1.0, 1.0])) == pytest.approx(4)
    assert decades_of_good(np.array([0.1]), np.array([1.0])) == 0
    assert decades_of_good(np.array(LRS), np.full(4, np.inf)) == 0
    wide, narrow = losses(1.0, curve=(1.05, 1.0, 1.02, 4.0), noise=0.001), losses(1.0, noise=0.001)
    assert range_difference(wide, narrow).value == pytest.approx(2)


def test_best_lr_says_when_it_is_at_the_edge():
    best = pd.DataFrame({"m": "a", "lr": [0.1, 0.1, 1.0, 1.0], "val_loss": [1.0, 2.0, 0.5, 3.0]})
    row = best_lr(best, ["m"]).iloc[0]
    assert (row["lr"], row["val_loss"], bool(row["at_edge"])) == (0.1, 1.5, True)
    assert good_range(best, ["m"]).loc["a"] == pytest.approx(1)


def test_within():
    assert is_within(Effect(1, 0.99, 1.01, 9), 0.95, 1.05) == CONFIRMED
    assert is_within(Effect(1, 0.9, 1.01, 9), 0.95, 1.05) == UNDECIDED
    assert is_within(Effect(1, 1.06, 1.2, 9), 0.95, 1.05) == REFUTED


def test_claims_without_records_say_what_makes_them(tmp_path):
    index = {"profile": "cpu", "experiments": {"memory": {"command": "scaleinv-run experiment=memory", "runs": ["a"]}}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    table, problems = judge_all(tmp_path)
    assert table.empty
    assert len(problems) == len(CLAIMS)
    assert any("mend:  scaleinv-run experiment=memory" in text for text in problems)


def test_claims_are_not_written_over_other_files(tmp_path):
    texts = {"claim": "c", "source": "T 1", "quote": "q", "case": "x", "verdict": CONFIRMED, "measures": "m"}
    table = pd.DataFrame([{**texts, "effect": 1.0, "low": 0.9, "high": 1.1, "n": 5}])
    mine = tmp_path / "notes.v2.md"
    mine.write_text("mine")
    with pytest.raises(UserError, match="did not write"):
        write_claims(table, tmp_path / "notes.v2")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    for _ in range(2):
        write_claims(table, tmp_path / "claims.v2")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.v2.md", "claims.v2.csv", "claims.v2.md"}


def test_every_claim_is_quoted_once():
    assert len({one.name for one in CLAIMS}) == len(CLAIMS) >= 15
    assert all(one.quote and one.source.split()[0] in ("T", "M") for one in CLAIMS)


def test_markdown_names_a_claim_once():
    row = {"claim": "c", "source": "T 1", "quote": "q", "case": "x", "verdict": CONFIRMED, "effect": 1.0, "low": 0.9,
           "high": 1.1, "n": 5, "measures": "m"}  # fmt: skip
    text = as_markdown(pd.DataFrame([row, {**row, "case": "y"}]))
    assert text.count("“q”") == 1
    assert "1 [0.9, 1.1]" in text
