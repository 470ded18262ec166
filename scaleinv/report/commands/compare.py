"""Compare two methods or two runs: every effect with its interval, n, p-value, Holm's correction, verdict and rule.

A method is named as in figures and tables, "SGD / G, kept"; a run by its name or hash. The verdicts are about the claim
that the first is better than the second.
"""

import argparse
import shlex
import sys
from pathlib import Path

from scaleinv.report.commands._selection import add_selection, require, require_done, select, select_one
from scaleinv.runs.errors import UserError
from scaleinv.runs.records import MissingError, load_records


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scaleinv-runs compare``."""
    parser.add_argument("first", metavar="A", help='a method, such as "SGD / G", or a run')
    parser.add_argument("second", metavar="B", help="what it is compared with")
    add_selection(parser)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every comparison, those of ``scaleinv-compare`` too."""
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="take only these records")
    parser.add_argument("--measure", default="val_loss", help="the loss to compare (default: val_loss)")
    parser.add_argument(
        "--margin", choices=["seeds", "share"], default="seeds", help="unit in which an effect counts as none"
    )
    parser.add_argument("--out", type=Path, help="draw a picture, and save the numbers: path without its ending")


def run(options: argparse.Namespace) -> None:
    """Load the records, compare, print, draw."""
    from scaleinv.report.compare import named_sweeps, present

    runs = select(options.words, options.results)
    require(runs, options.results)
    done = require_done(runs, options.results)
    records = named_sweeps(load_records(*(one.path for one in done), keys=None), options.where, options.results)
    methods = set(records["method"])
    pair, configurations = [], []
    for name in (options.first, options.second):
        if name not in methods:
            try:
                name = select_one(name, options.results).name
            except MissingError:
                pair.append(name)  # the comparison says which methods there are
                continue
            own = records["run"] == name
            configurations.append(set(records.loc[own, "configuration"]))
            records.loc[own, "method"] = name
        pair.append(name)
    if len(configurations) == 2 and (configurations[0] == configurations[1] or set() in configurations):
        what = "these two runs differ in nothing but seeds and learning rates, or one is not done"
        raise UserError(what, f"{pair[0]}, {pair[1]}", "compare runs of two methods; scaleinv-runs ls shows them")
    command = shlex.join(["scaleinv-runs", *sys.argv[1:]])
    present(records, [one.path for one in done], pair, options, command)
