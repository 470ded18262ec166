"""Promise: a verdict is what the numbers say, numbers that say nothing decide nothing, each verdict has its rule."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audited import RUNS, require_audited

from scaleinv.report.claim_tables import as_markdown, counts, summary_markdown, write_claims
from scaleinv.report.claims.base import FEWEST, MEASURED, Case, Claim, denied, judged
from scaleinv.report.claims.g_space_does_not_improve import GSpaceDoesNotImprove
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import (
    CONFIRMED,
    EQUIVALENT,
    REFUTED,
    UNDECIDED,
    Margin,
    judge_lower,
)
from scaleinv.report.judging import NOT_RECORDED, judge_all, known_claims
from scaleinv.report.members import best_lr, decades_of_good, good_range
from scaleinv.report.studies import Study
from scaleinv.runs.errors import UserError

RELEASE = Path(__file__).parents[1] / "results" / "release"
LRS = [0.001, 0.01, 0.1, 1.0]


def around(center, n=10, spread=0.02):
    """An estimate of a log ratio from n seeds."""
    return estimate_mean(center + spread * np.linspace(-1, 1, n)).as_ratio()


def case(center, judge=judge_lower, n=10, epochs=20):
    return judged("mnist", "a ratio", around(center, n), judge, Margin(0.05, "noise"), epochs=epochs)


class Better(Claim):
    """A claim that is judged by cases of the test's own."""

    source, quote = "T 0", "better"

    def cases(self, study):
        """Yield none."""
        yield from ()


def test_a_claim_and_its_negation_share_one_rule():
    for center, lower in ((-0.2, CONFIRMED), (0.2, REFUTED), (0.0, EQUIVALENT), (-0.05, UNDECIDED)):
        assert case(center).verdict == lower
    assert case(-0.2, denied(judge_lower)).verdict == REFUTED
    assert case(0.0, denied(judge_lower)).verdict == case(0.2, denied(judge_lower)).verdict == CONFIRMED
    assert case(-0.05, denied(judge_lower)).verdict == UNDECIDED
    assert "below 0.951: confirmed" in case(-0.2).judgement.rule
    assert "noise" in case(-0.2).judgement.rule


def test_few_seeds_and_grid_edges_decide_nothing():
    assert case(-0.2, n=FEWEST - 1).verdict == UNDECIDED
    assert case(-0.2, n=FEWEST - 1).judgement.rule.startswith("fewer than 5 seeds")
    edge = judged("mnist", "a ratio", around(-0.2), judge_lower, at_edge=True)
    assert edge.verdict == "undecided (grid edge)"


def test_a_claim_gets_one_verdict_from_the_cases_that_decide():
    claim = Better()
    good, bad, none = case(-0.2), case(0.2), case(0.0)
    assert claim.verdict([good]).verdict == claim.verdict([good, good]).verdict == CONFIRMED
    assert claim.verdict([good, bad]).verdict == claim.verdict([good, none]).verdict == REFUTED
    assert claim.verdict([good, bad.beside()]).verdict == CONFIRMED
    assert claim.verdict([none]).verdict == EQUIVALENT
    assert claim.verdict([case(-0.05), good]).verdict == UNDECIDED
    assert Case("mnist", "", around(0.1), None, decides=False).verdict == MEASURED
    assert claim.verdict([bad.beside()]).verdict == UNDECIDED


def test_a_claim_about_long_training_says_that_short_training_cannot_decide_it(monkeypatch):
    monkeypatch.setattr(Better, "needs_epochs", 150)
    verdict = Better().verdict([case(-0.2, epochs=20), case(-0.2, epochs=10)])
    assert verdict.verdict == UNDECIDED
    assert verdict.rule.startswith("needs 150 epochs, the records have 10; at this budget confirmed")
    assert Better().verdict([case(-0.2, epochs=150)]).verdict == CONFIRMED
    monkeypatch.setattr(Better, "needs_epochs", 0)
    monkeypatch.setattr(Better, "source_epochs", 150)
    shorter = Better().verdict([case(-0.2, epochs=20)])
    assert shorter.verdict == CONFIRMED
    assert shorter.rule.endswith("; after 20 epochs, the source: 150")


def test_range_of_good_rates():
    assert decades_of_good(np.array(LRS), np.array([3.0, 1.05, 1.0, 4.0])) == pytest.approx(2)
    assert decades_of_good(np.array(LRS), np.array([1.0, 1.0, 1.0, 1.0])) == pytest.approx(4)
    assert decades_of_good(np.array([0.1]), np.array([1.0])) == 0
    assert decades_of_good(np.array(LRS), np.full(4, np.inf)) == 0


def test_best_lr_says_when_it_is_at_the_edge():
    best = pd.DataFrame({"m": "a", "lr": [0.1, 0.1, 1.0, 1.0], "val_loss": [1.0, 2.0, 0.5, 3.0]})
    row = best_lr(best, ["m"]).iloc[0]
    assert (row["lr"], bool(row["at_edge"])) == (1.0, True)
    assert row["val_loss"] == pytest.approx(1.5**0.5)  # the geometric mean, as in the claims
    best.loc[3, "val_loss"] = np.inf
    assert best_lr(best, ["m"]).iloc[0]["lr"] == 0.1  # a rate at which a seed diverged is not the best
    assert good_range(best.head(2), ["m"]).loc["a"] == 0


def test_claims_without_records_say_what_makes_them(tmp_path):
    index = {"profile": "cpu", "experiments": {"memory": {"command": "scaleinv-run experiment=memory", "runs": ["a"]}}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    table = judge_all(tmp_path)
    assert set(table["verdict"]) == set(table["claim_verdict"]) == {NOT_RECORDED}
    assert len(table) == len(known_claims())
    rules = table.set_index("claim")["claim_rule"]
    assert "scaleinv-run experiment=memory" in rules["g_space_does_not_improve"]
    assert counts(table) == f"{len(table)} not recorded"
    assert as_markdown(table).count("not recorded") >= len(table)


def test_every_claim_is_quoted_with_its_source():
    claims = known_claims()
    assert len({claim.name for claim in claims}) == len(claims) >= 28
    letters = re.findall(
        r"^\| ([A-Z0-9]+)[,| ]", (RELEASE.parents[1] / "docs" / "sources.md").read_text(), re.MULTILINE
    )
    for claim in claims:
        assert claim.quote
        assert claim.source.split()[0] in letters, claim.name


# What an audit computed from the released records on its own. A study that was trained longer has other numbers.
AUDITED = {
    ("g_sgd_is_less_sensitive", "mnist, sensitivity"): ("memory", -0.318, -0.381, -0.254),
    ("g_sgd_is_less_sensitive", "cifar10, sensitivity"): ("memory", -0.152, -0.205, -0.100),
    ("fixing_and_g_are_robust", "mnist, SGD / fixed, sensitivity"): ("fig_4_4", -0.205, -0.346, -0.063),
    ("fixed_sgd_is_better", "mnist, best epoch"): ("fig_4_4", 1.113, 0.924, 1.341),
    ("fixed_sgd_is_better", "mnist, held out"): ("heldout", 1.072, 1.038, 1.107),
    ("g_sgd_outperforms_sgd", "cifar10, best epoch"): ("memory", 0.945, 0.910, 0.982),
    ("published_g_adam_underperforms", "cifar10, vs SGD / weight, best epoch"): ("memory", 0.964, 0.917, 1.013),
    ("fixed_sgd_behaves_like_g_sgd", "equal starts, loss"): ("start_or_space", 0.990, 0.963, 1.018),
    ("reparametrized_networks_are_unstable", "SGD / weight, divergence"): ("unbalanced", 0.311, 0.160, 0.462),
}


@pytest.fixture
def released(published_claims):
    """The published verdicts, by claim and case."""
    return published_claims.set_index(["claim", "case"]).sort_index()


@pytest.mark.parametrize("key", AUDITED, ids=lambda key: f"{key[0]}: {key[1]}")
def test_the_audit_s_numbers_come_out(released, key):
    experiment, *expected = AUDITED[key]
    row = released.loc[[key]].iloc[0]
    require_audited(RELEASE / "cpu", experiment)
    assert tuple(round(float(row[end]), 3) for end in ("effect", "low", "high")) == pytest.approx(expected, abs=1.1e-3)


def test_verdicts_on_the_release(released):
    """Which quantity decides: what the audit found to be judged by the wrong one."""
    deciding = released[released["decides"]]
    sampled = deciding[deciding["p"].notna()]  # exact counts have no p-value
    assert (sampled["holm"] >= sampled["p"]).all()
    assert released.loc[~released["decides"], "holm"].isna().all()
    for experiment in RUNS:
        require_audited(RELEASE / "cpu", experiment)
    verdicts = released.groupby("claim")["claim_verdict"].first()
    assert verdicts["memory_does_not_translate"] == CONFIRMED
    assert verdicts["fixed_sgd_behaves_like_g_sgd"] in (CONFIRMED, UNDECIDED)
    assert verdicts["start_matters_more_than_space"] == REFUTED
    assert verdicts["reparametrized_networks_are_unstable"] == CONFIRMED
    assert verdicts["g_sgd_is_less_sensitive"] == CONFIRMED
    assert verdicts["overwriting_makes_the_difference"] == CONFIRMED
    assert verdicts["adam_is_best"] == UNDECIDED  # about 150 epochs


def test_only_the_records_of_one_data_set_are_compared(released):
    """Each data set has cases of its own; none pools them."""
    study = Study(RELEASE / "cpu")
    for case_ in GSpaceDoesNotImprove().cases(study):
        assert case_.name.split(",")[0] in ("mnist", "cifar10")
    with pytest.raises(UserError, match="several data sets"):
        study.losses("memory", "SGD / weight")


def test_claims_are_not_written_over_other_files(tmp_path, published_claims):
    table = published_claims.head(3)
    mine = tmp_path / "notes.v2.md"
    mine.write_text("mine")
    with pytest.raises(UserError, match="did not write"):
        write_claims(table, tmp_path / "notes.v2")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    for _ in range(2):
        write_claims(table, tmp_path / "claims.v2")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.v2.md", "claims.v2.csv", "claims.v2.md"}
    read = pd.read_csv(tmp_path / "claims.v2.csv")
    assert as_markdown(read) == (tmp_path / "claims.v2.md").read_text()


def test_tables_name_a_claim_once_and_print_its_rule(published_claims):
    table = published_claims
    rows = table[table["claim"] == "g_space_does_not_improve"]
    text = as_markdown(rows)
    assert text.count("### “") == 1
    assert rows.iloc[0]["rule"] in text
    assert f"**{rows.iloc[0]['claim_verdict']}**" in text
    assert summary_markdown(table).count("\n| “") == table["claim"].nunique()
