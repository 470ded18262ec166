"""The verdicts on the claims as text: in a terminal, as Markdown, as files."""

from pathlib import Path
from typing import Any

import pandas as pd

from scaleinv.report.judging import NOT_RECORDED, VERDICTS
from scaleinv.report.output import refuse_foreign
from scaleinv.runs.folder import write_atomically


def interval(row: Any) -> str:
    """Write the effect of a row of the table with its interval."""
    return f"{row['effect']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


def counts(table: pd.DataFrame) -> str:
    """Count the verdicts on whole claims."""
    verdicts = table.groupby("claim")["claim_verdict"].first().value_counts()
    return ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdict in verdicts)


def as_markdown(table: pd.DataFrame) -> str:
    """Write the verdicts as Markdown: a table of the claims, then each claim with its cases and rules."""
    table = table.fillna({"rule": ""})  # pandas reads an empty cell as NaN
    lines = [f"{table['claim'].nunique()} claims: {counts(table)}.", "", "| claim (source) | verdict |", "| - | - |"]
    blocks: list[str] = []
    for _, rows in table.groupby("claim", sort=False):
        first = rows.iloc[0]
        lines.append(f"| “{first['quote']}” ({first['source']}) | **{first['claim_verdict']}** |")
        blocks += ["", f"### “{first['quote']}” ({first['source']})", ""]
        blocks += [f"**{first['claim_verdict']}**: {first['claim_rule']}"]
        if first["verdict"] == NOT_RECORDED:
            continue
        blocks += ["", "| case | verdict | effect [95 % interval] | n | p | Holm | of | rule |", "|" + " - |" * 8]
        for row in rows.to_dict("records"):
            verdict = f"**{row['verdict']}**" if row["decides"] else f"({row['verdict']})"
            ps = ["" if pd.isna(row[key]) else f"{row[key]:.2g}" for key in ("p", "holm")]
            cells = (row["case"], verdict, interval(row), f"{row['n']} {row['of']}", *ps, row["measures"], row["rule"])
            blocks.append(f"| {' | '.join(map(str, cells))} |")
    tail = ["", "Verdicts in brackets stand beside the deciding ones and decide nothing."]
    return "\n".join([*lines, *blocks, *tail]) + "\n"


def summary_markdown(table: pd.DataFrame) -> str:
    """Write one line per claim: its verdict, and the effect of its first deciding case."""
    lines = [f"{table['claim'].nunique()} claims: {counts(table)}.", ""]
    lines += ["| claim (source) | verdict | first case: effect [95 % interval] |", "| - | - | - |"]
    for _, rows in table.groupby("claim", sort=False):
        deciding, effect = rows[rows["decides"]], ""
        if len(deciding):
            first = deciding.iloc[0]
            effect = f"{first['case']}: {first['measures']} {interval(first)}, n = {first['n']} {first['of']}"
            effect += f" (1 of {len(deciding)} cases)" if len(deciding) > 1 else ""
        head = rows.iloc[0]
        lines.append(f"| “{head['quote']}” ({head['source']}) | {head['claim_verdict']} | {effect} |")
    return "\n".join(lines) + "\n"


def print_table(table: pd.DataFrame) -> None:
    """Print the verdicts, one block per claim."""
    for _, rows in table.groupby("claim", sort=False):
        first = rows.iloc[0]
        print(f"{first['claim_verdict'].upper()}  {first['source']}: {first['quote']!r}\n  {first['claim_rule']}")
        for row in rows[rows["verdict"] != NOT_RECORDED].to_dict("records"):
            verdict = row["verdict"] if row["decides"] else f"({row['verdict']})"
            numbers = f"{interval(row)}, n = {row['n']} {row['of']}"
            print(f"    {verdict:<14} {row['case']:<40} {numbers:<40} {row['measures']}")
    print(f"{table['claim'].nunique()} claims: {counts(table)}; cases in brackets decide nothing")


def write_claims(table: pd.DataFrame, stem: Path) -> None:
    """Write the verdicts to ``stem.csv`` and ``stem.md``.

    Raises:
        UserError: one of them is there and holds something else.
    """
    contents = {".csv": table.to_csv(index=False, float_format="%.6g", lineterminator="\n"), ".md": as_markdown(table)}
    files = {stem.with_name(stem.name + ending): text.encode() for ending, text in contents.items()}
    for path in files:
        refuse_foreign(path, is_ours=_is_ours)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_atomically(path, content)


def _is_ours(content: bytes) -> bool:
    """Whether a file begins as these tables do, or as they did before they had rules."""
    first = content.split(b"\n")[0]
    counted, _, verdicts = first.partition(b" claims: ")
    return first.startswith((b"claim,source,quote,", b"| claim (source) | ")) or (counted.isdigit() and bool(verdicts))
