"""Judge all claims from the records of a study: one table, a row per case. No torch."""

from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import CONFIRMED, EQUIVALENT, REFUTED, UNDECIDED, UNDECIDED_EDGE, holm
from scaleinv.report.studies import Study
from scaleinv.runs.errors import UserError
from scaleinv.runs.records import read_index
from scaleinv.runs.registry import find, names

NOT_RECORDED = "not recorded"
# All verdicts on a claim, in the order in which they are counted.
VERDICTS = (CONFIRMED, REFUTED, EQUIVALENT, UNDECIDED, UNDECIDED_EDGE, NOT_RECORDED)
PACKAGE = "scaleinv.report.claims"


def known_claims() -> list[Claim]:
    """Return all claims, by document and section, then by name; those of installed packages too."""
    claims = [find(PACKAGE, name, Claim)() for name in names(PACKAGE)]  # type: ignore[type-abstract]
    return sorted(claims, key=lambda claim: (claim.source.split()[0] != "T", claim.source, claim.name))


def judge_all(folder: str | Path) -> pd.DataFrame:
    """Judge every claim from the records of a study.

    Returns:
        One row per case: ``claim``, ``source``, ``quote``, ``figures``, ``claim_verdict`` and ``claim_rule`` (the same
        in all rows of a claim), ``case``, ``decides``, ``verdict``, ``effect`` with its interval ``low`` to ``high``,
        ``is_ratio``, ``n`` and ``of`` (what n counts), ``p``, ``holm`` (corrected for the number of deciding cases of
        the study), ``zone_low`` to ``zone_high`` (zone of equivalence), ``epochs``, ``measures``, ``rule``. A claim
        without records has one row, with the verdict "not recorded", and the reason as its rule.

    Raises:
        MissingError: the folder holds no study.
    """
    read_index(folder)
    study, rows = Study(folder), []
    for claim in known_claims():
        head = {"claim": claim.name, "source": claim.source, "quote": claim.quote, "figures": " ".join(claim.figures)}
        try:
            cases = list(claim.cases(study))
        except UserError as error:
            reason = " ".join(part.strip() for part in str(error).splitlines()[::2])
            rows.append(head | {"claim_verdict": NOT_RECORDED, "claim_rule": reason} | _unrecorded())
            continue
        whole = claim.verdict(cases)
        rows += [head | {"claim_verdict": whole.verdict, "claim_rule": whole.rule} | _cells(case) for case in cases]
    table = pd.DataFrame(rows)
    table.insert(list(table).index("p") + 1, "holm", np.nan)
    deciding = table["decides"] & table["p"].notna()
    table.loc[deciding, "holm"] = holm(table.loc[deciding, "p"].to_numpy(dtype=float))
    return table


def _unrecorded() -> dict[str, object]:
    texts = {"case": "", "decides": False, "verdict": NOT_RECORDED, "is_ratio": False, "of": "", "measures": ""}
    numbers = dict.fromkeys(("effect", "low", "high", "p", "zone_low", "zone_high"), np.nan)
    return texts | numbers | {"n": 0, "epochs": 0, "rule": ""}


def _cells(case: Case) -> dict[str, object]:
    estimate, judgement = case.estimate, case.judgement
    low, high = case.margin.zone(estimate)
    return {
        "case": case.name,
        "decides": case.decides and judgement is not None,
        "verdict": case.verdict,
        "effect": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "is_ratio": estimate.is_ratio,
        "n": estimate.n,
        "of": estimate.of,
        "p": judgement.p if judgement else np.nan,
        "zone_low": low if judgement else np.nan,
        "zone_high": high if judgement else np.nan,
        "epochs": case.epochs,
        "measures": case.measures,
        "rule": judgement.rule if judgement else "",
    }
