"""Write the numbers in README.md and docs/ from results/release: ``python scripts/fill_docs.py``."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

from scaleinv.report.claim_tables import summary_markdown
from scaleinv.report.method_table import method_markdown
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.records import MissingError, experiment_runs

ROOT = Path(__file__).parents[1]
RELEASE = ROOT / "results" / "release"


def mnist_table() -> str:
    """Return the output of scripts/table.py for the released MNIST runs."""
    words = [sys.executable, str(ROOT / "scripts" / "table.py"), "results/release/mnist_sgd"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def bench_table() -> str:
    """Return the ratios of the released benchmark, one row per network and number of members."""
    table = pd.read_csv(RELEASE / "bench" / "bench.csv")
    machine = json.loads((RELEASE / "bench" / "bench.machine.json").read_text())
    lines = [
        f"{machine['device_name']}, {machine['threads']} threads, torch {machine['versions']['torch']};"
        f" {machine['matmul_gflops']:.0f} GFLOP/s, copies {machine['copy_gbytes']:.0f} GB/s;"
        f" `{machine['command']}`. Ratios to the floor and to weight space, from one process:",
        "",
        "| network | members | seconds a run-epoch, SGD | SGD / floor | Adam / SGD | G / weight, SGD | G / weight, Adam"
        " | fixed / weight | cycle / weight | evaluation | faster than serial |",
        "|" + " - |" * 11,
    ]
    for (network, members), rows in table.groupby(["network", "members"], sort=False):
        cell = rows.set_index(["space", "optimizer"])["seconds"].to_dict()
        own = rows[(rows["space"] == "weight") & (rows["optimizer"] == "sgd")].iloc[0]
        sgd, adam = cell["weight", "sgd"], cell["weight", "adam"]
        numbers = (
            *(f"{sgd:.3f}", f"{own['ratio_to_floor']:.2f}", f"{adam / sgd:.2f}", f"{cell['gspace', 'sgd'] / sgd:.2f}"),
            *(f"{cell['gspace', 'adam'] / adam:.2f}", f"{cell['fixed', 'sgd'] / sgd:.2f}"),
            *(f"{cell['cycle', 'sgd'] / sgd:.2f}", f"{own['share_evaluation']:.1%}"),
            f"{own['speed_up_over_serial']:.1f} x",
        )
        lines.append(f"| {network} | {members} | {' | '.join(numbers)} |")
    plain = table[table["space"] == "weight"].drop_duplicates(["network", "optimizer"])
    for network, rows in plain.groupby("network", sort=False):
        sgd, adam = rows.set_index("optimizer").loc[["sgd", "adam"]].to_dict("records")
        lines += [
            "",
            f"{network}: `chunk: auto` takes {sgd['auto_chunk']} members with SGD, {adam['auto_chunk']} with Adam."
            " Reading and writing weights, gradients and optimizer state once from main memory would take"
            f" {sgd['traffic_seconds'] / sgd['floor_seconds']:.2f} x the floor with SGD,"
            f" {adam['traffic_seconds'] / adam['floor_seconds']:.2f} x with Adam.",
        ]
    return "\n".join(lines) + "\n"


def fill(text: str, marker: str, content: str) -> str:
    """Replace the text between a marker and the next end marker."""
    pattern = re.compile(rf"(<!-- {re.escape(marker)} -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda match: match[1] + content + match[2], text)


def finding() -> str:
    """Return one sentence on the effects of start and space, with the interval."""
    table = pd.read_csv(RELEASE / "claims.csv").set_index(["claim", "case"])
    row = table.loc[("start_matters_more_than_space", "SGD, weight and cycle space")]
    made = [RunFolder(run).manifest for run in experiment_runs(RELEASE / "cpu", "start_or_space")]
    devices, versions = ({m["device_name"] for m in made}, {m["versions"]["torch"] for m in made})
    return (
        "One finding, SGD on MNIST: overwriting the skeleton of the drawn weights moves the best loss by more than"
        f" training in\ncycle space instead of weight space; the main effects on log loss differ by {row['effect']:.2f}"
        f" [{row['low']:.2f}, {row['high']:.2f}], {row['n']} paired seeds\n(studentised bootstrap, 95 %;"
        f" {', '.join(sorted(devices))}, torch {', '.join(sorted(versions))}; `make claims`;"
        " [all claims](docs/results.md)).\n"
    )


def methods_table() -> str:
    """Return the table of methods of docs/path_metrics.md, or a sentence where its records are not released."""
    try:
        return method_markdown(RELEASE / "cpu")
    except MissingError:
        return "These records are not in the release yet.\n"


def filled(text: str) -> str:
    """Return a page with its numbers filled in."""
    for marker, content in (
        ("finding", finding),
        ("table: results/release/mnist_sgd", mnist_table),
        ("claims", lambda: summary_markdown(pd.read_csv(RELEASE / "claims.csv"))),
        ("bench", bench_table),
        ("methods", methods_table),
    ):
        if f"<!-- {marker} -->" in text:
            text = fill(text, marker, content())
    return text


if __name__ == "__main__":
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        page.write_text(filled(page.read_text()))
