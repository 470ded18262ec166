"""Draw a figure: ``python -m scaleinv.figures loss_vs_lr results/demo --out results/demo/loss_vs_lr``."""

import argparse
import shlex
import sys
from importlib import import_module
from pathlib import Path

from scaleinv.errors import UserError
from scaleinv.figures.style import save
from scaleinv.records import find_runs, load_records
from scaleinv.registry import names
from scaleinv.suggestions import did_you_mean

HELPERS = {"style", "best", "__main__"}


def main() -> None:
    """Parse the command, load the records, draw, save."""
    known = [name for name in names("scaleinv.figures") if name not in HELPERS]
    parser = argparse.ArgumentParser(prog="python -m scaleinv.figures", description=__doc__)
    parser.add_argument("figure", help=f"one of {', '.join(known)}")
    parser.add_argument("records", nargs="+", type=Path, help="run folders, or folders above them")
    parser.add_argument("--out", type=Path, required=True, help="path of the picture, without its ending")
    given = parser.parse_args()
    try:
        if given.figure not in known:
            raise UserError(f"there is no figure {given.figure!r}", given.figure, did_you_mean(given.figure, known))
        records = load_records(*given.records)
        if records.empty:
            where = " ".join(map(str, given.records))
            raise UserError("there are no finished runs", where, "run scaleinv-run first; see the README")
        drawing = import_module(f"scaleinv.figures.{given.figure}").draw(records)
        inputs = [folder / "metrics.csv" for folder in find_runs(*given.records)]
        files = save(drawing, given.out, inputs, shlex.join(["python", "-m", "scaleinv.figures", *sys.argv[1:]]))
        print(*files, sep="\n")
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
