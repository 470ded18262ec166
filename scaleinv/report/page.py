"""The pages of a release: README.md, and index.html with all claims and figures, which loads nothing from elsewhere."""

import html
import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scaleinv.report.claim_tables import counts, interval
from scaleinv.report.effects.verdicts import CONFIRMED, EQUIVALENT, REFUTED
from scaleinv.report.figures.__main__ import known_figures
from scaleinv.report.figures.claims_forest import scaled
from scaleinv.report.judging import NOT_RECORDED

# Drawn first: the one that shows all claims.
FIRST = "claims_forest"
COLOURS = {CONFIRMED: "good", REFUTED: "bad", EQUIVALENT: "none"}
STYLE = """
:root{--ink:#1a1a1a;--dim:#595959;--line:#ccc;--paper:#fff;--good:#00604a;--bad:#a03a00;--none:#00558c;--zone:#ddd}
@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--dim:#a8a8a8;--line:#444;--paper:#141414;--good:#4cc9a4;
--bad:#ff9d66;--none:#7cc4f5;--zone:#3a3a3a}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:0 auto;
padding:1rem;overflow-wrap:anywhere}
a{color:var(--none)}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}h3{margin:1.8rem 0 .3rem;font-size:1.05rem}
img{max-width:100%;height:auto;background:#fff}figure{margin:0 0 2rem}figcaption,.rule,.small{font-size:.85rem;
color:var(--dim)}ul{padding-left:1.2rem}nav ul{columns:20rem;font-size:.9rem}code{font-size:.85em}
.v{font-weight:600;color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}.none{color:var(--none)}
.cases{list-style:none;padding:0}.cases li{border-left:3px solid var(--line);padding-left:.6rem;margin:.5rem 0}
.beside{opacity:.85}svg{display:block;width:100%;max-width:30rem;height:auto}
""".strip().replace("\n", "")


def readme(summary: Mapping[str, Any]) -> str:
    """Write the release's README: machine and versions, then command, n and wall time of each experiment."""
    lines = [
        "# Released results",
        "",
        f"Profile `{summary['profile']}`: {summary['runs']} runs, {summary['members']} networks,"
        f" {summary['wall_seconds'] / 60:.0f} minutes of training on {', '.join(summary['devices'])}"
        f" ({', '.join(map(str, summary['threads']))} threads), torch {summary['versions']['torch']}.",
        "Runs that several experiments share were trained once, so the times below add up to more.",
        "Open `index.html` for all figures and claims on one page.",
        "`make figures` draws the figures again, bit for bit;",
        f"`make reproduce-figures PROFILE={summary['profile']}` trains everything again.",
    ]
    if summary["incomplete"]:
        lines += [
            "",
            "Not finished with this profile's present budgets, so older runs, or none, stand for"
            f" {', '.join(summary['incomplete'])}.",
        ]
    lines += [
        "",
        "| experiment | figures | command | seeds, epochs | runs | networks | training (s) |",
        "| - | - | - | - | - | - | - |",
    ]
    for name, entry in summary["experiments"].items():
        figures = ", ".join(f"[{figure}](figures/{figure}.png)" for figure in entry["figures"]) or "claims only"
        budget = ", ".join(f"{one['seeds']}, {one['epochs']} ({data})" for data, one in entry["budgets"].items()) or "-"
        numbers = (budget, entry["runs"], entry["members"], f"{entry['wall_seconds']:.0f}")
        lines.append(f"| {name} | {figures} | `{entry['command']}` | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines) + "\n"


def page(summary: Mapping[str, Any], table: pd.DataFrame, out: Path) -> str:
    """Write the page.

    Args:
        summary: the contents of ``release.json``.
        table: from :func:`scaleinv.report.judging.judge_all`.
        out: folder of the release; the page shows the figures that are there.
    """
    figures = drawn(out / "figures")
    body = "".join((*_head(summary, table, figures), *_claims(table, figures), *_figures(summary, table, figures, out)))
    head = (
        "<meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>scaleinv: released results</title><link rel=icon href='data:,'><style>{STYLE}</style>"
    )
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def drawn(folder: Path) -> list[str]:
    """List the figures in a folder in reading order: all claims, then the source's figures by number, then others."""

    def order(name: str) -> tuple[bool, bool, list[int], str]:
        is_numbered = re.fullmatch(r"fig(_\d+)+", name) is not None
        return name != FIRST, not is_numbered, [int(n) for n in re.findall(r"\d+", name)] if is_numbered else [], name

    return sorted((name for name in known_figures() if (folder / f"{name}.json").exists()), key=order)


def title(figure: str) -> str:
    """Return what a figure shows, in one sentence: the first line of its module."""
    return (known_figures()[figure].__doc__ or figure).splitlines()[0].rstrip(".")


def _verdict(verdict: str, small: bool = False) -> str:
    kind = COLOURS.get(verdict, "")
    return f"<span class='v {kind}'{' style=font-weight:400' if small else ''}>{html.escape(verdict)}</span>"


def _head(summary: Mapping[str, Any], table: pd.DataFrame, figures: list[str]) -> Iterator[str]:
    claims = table.drop_duplicates("claim")
    incomplete = ""
    if summary["incomplete"]:
        incomplete = (
            " Older runs, or none, stand for experiments that are not finished with the present budgets:"
            f" {html.escape(', '.join(summary['incomplete']))}."
        )
    yield (
        f"<h1>scaleinv: released results</h1><p>Profile {html.escape(summary['profile'])}: {summary['runs']} runs,"
        f" {summary['members']} networks, {summary['wall_seconds'] / 60:.0f} minutes on"
        f" {html.escape(', '.join(summary['devices']))}, torch {html.escape(str(summary['versions']['torch']))}."
        f"{incomplete}</p><p><b>{len(claims)} claims:</b> {html.escape(counts(table))}. A verdict is about the records"
        " here, with their numbers of seeds and epochs; each has its rule beside it.</p>"
        f"<p>Data: <a href='{html.escape(summary['profile'])}/index.json'>runs by experiment</a>,"
        " <a href=claims.csv>claims.csv</a>, <a href=claims.md>claims.md</a>, <a href=release.json>release.json</a>,"
        " <a href=README.md>experiments and commands</a>.</p>"
        "<nav aria-label=contents><h2 id=contents>Contents</h2><p><a href=#claims>Claims</a></p><ul>"
    )
    for row in claims.to_dict("records"):
        quote = html.escape(str(row["quote"]))
        yield f"<li><a href=#claim-{row['claim']}>“{quote}”</a> {_verdict(row['claim_verdict'], small=True)}"
    yield "</ul><p><a href=#figures>Figures</a></p><ul>"
    yield from (f"<li><a href=#fig-{name}>{html.escape(title(name))}</a>" for name in figures)
    yield "</ul></nav><main>"


def _claims(table: pd.DataFrame, figures: list[str]) -> Iterator[str]:
    yield (
        "<section><h2 id=claims>Claims</h2><p class=small>T is the thesis, M the abstract of the G-SGD paper."
        " Effects have 95 % intervals; p-values are two-sided; Holm's correction is over all deciding cases."
        " In the small pictures the grey zone is that of equivalence, and one unit is its half width.</p>"
    )
    for claim, rows in table.groupby("claim", sort=False):
        first = rows.iloc[0]
        shown = [name for name in str(first["figures"]).split() if name in figures]
        links = ", ".join(f"<a href=#fig-{name}>{html.escape(title(name))}</a>" for name in shown)
        yield (
            f"<article id=claim-{claim}><h3>“{html.escape(str(first['quote']))}” ({html.escape(first['source'])})</h3>"
            f"<div>{_verdict(first['claim_verdict'])} <span class=rule>{html.escape(first['claim_rule'])}</span></div>"
        )
        if first["verdict"] != NOT_RECORDED:
            yield _small_forest(rows)
            for decides in (True, False):
                part = rows[rows["decides"] == decides]
                cases = "".join(_case(row) for row in part.to_dict("records"))
                if cases and decides:
                    yield f"<ul class=cases>{cases}</ul>"
                elif cases:
                    yield (
                        f"<details><summary class=small>{len(part)} further numbers, which decide nothing</summary>"
                        f"<ul class='cases beside'>{cases}</ul></details>"
                    )
        if links:
            yield f"<p class=small>Pictures: {links}.</p>"
        yield "</article>"
    yield "</section>"


def _case(row: Mapping[Any, Any]) -> str:
    ps = "" if pd.isna(row["p"]) else f", p = {row['p']:.2g}"
    ps += "" if pd.isna(row["holm"]) else f" (Holm {row['holm']:.2g})"
    counted = f"n = {row['n']} {row['of']}"
    epochs = f", {row['epochs']} epochs" if row["epochs"] else ""
    return (
        f"<li>{_verdict(row['verdict'], small=not row['decides'])} {html.escape(str(row['case']))}:"
        f" <b>{interval(row)}</b>, {html.escape(counted + epochs + ps)}. {html.escape(str(row['measures']))}."
        f" <span class=rule>{html.escape(str(row['rule']))}</span></li>"
    )


def _small_forest(rows: pd.DataFrame) -> str:
    """Draw the deciding cases of a claim as lines, in units of their margins."""
    part = rows[rows["decides"] & (rows["zone_high"] > rows["zone_low"])]
    if part.empty:
        return ""
    units = scaled(part).to_numpy()
    sizes = np.sign(units) * np.log1p(np.abs(units))
    reach = float(np.log1p(100.0))
    lines = []
    for i, (row, own) in enumerate(zip(part.to_dict("records"), sizes, strict=True)):
        middle, low, high = (150 + 140 * float(size) / reach for size in own)
        colour = f"var(--{COLOURS.get(row['verdict'], 'dim')})"
        y = 8 + 10 * i
        lines.append(
            f"<line x1='{low:.1f}' x2='{max(high, low + 0.5):.1f}' y1='{y}' y2='{y}' stroke='{colour}'"
            f" stroke-width='2'/><circle cx='{middle:.1f}' cy='{y}' r='3' fill='{colour}'/>"
        )
    height, half = 6 + 10 * len(part), 140 * float(np.log1p(1.0)) / reach
    words = html.escape("; ".join(f"{row['case']}: {row['verdict']}" for row in part.to_dict("records")), quote=True)
    return (
        f"<svg viewBox='0 0 300 {height}' role=img aria-label='{words}'><rect x='{150 - half:.1f}' y='0'"
        f" width='{2 * half:.1f}' height='{height}' fill='var(--zone)'/><line x1='150' x2='150' y1='0' y2='{height}'"
        f" stroke='var(--dim)' stroke-width='.5'/>{''.join(lines)}</svg>"
    )


def _figures(summary: Mapping[str, Any], table: pd.DataFrame, figures: list[str], out: Path) -> Iterator[str]:
    commands = {name: entry["command"] for entry in summary["experiments"].values() for name in entry["figures"]}
    claims = table.drop_duplicates("claim").to_dict("records")
    yield "<section><h2 id=figures>Figures</h2>"
    for name in figures:
        folder = out / "figures"
        caption = json.loads((folder / f"{name}.json").read_text())["caption"]
        width, height = _size(folder / f"{name}.png")
        kinds = {".pdf": "pdf", "_column.pdf": "column", ".png": "png", ".csv": "csv", ".tex": "LaTeX", ".json": "json"}
        links = ", ".join(
            f"<a href='figures/{name}{ending}'>{kind}</a>"
            for ending, kind in kinds.items()
            if (folder / f"{name}{ending}").exists()
        )
        shown = [claim for claim in claims if name in str(claim["figures"]).split()]
        if name == FIRST:
            back = " Claims: <a href=#claims>all</a>."
        else:
            texts = (f"<a href=#claim-{one['claim']}>“{html.escape(one['quote'])}”</a>" for one in shown)
            back = f" Claims: {', '.join(texts)}." if shown else ""
        command = f" <code>{html.escape(commands[name])}</code>" if name in commands else ""
        heading = html.escape(title(name), quote=True)
        yield (
            f"<figure id=fig-{name}><h3>{heading}</h3><img src='figures/{name}.png' width={width} height={height}"
            f" loading=lazy alt='{heading}. {html.escape(caption, quote=True)}'><figcaption>{html.escape(caption)}"
            f" {links}.{back}{command}</figcaption></figure>"
        )
    yield "</section></main><p><a href=#contents>Contents</a></p>"


def _size(picture: Path) -> tuple[int, int]:
    """Return width and height of a PNG, so that the page does not jump while pictures load."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return int(width), int(height)
