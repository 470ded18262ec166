"""Judge all claims: ``python -m scaleinv.report.claims results/release/cpu [--out STEM]``."""

import argparse
import sys
from pathlib import Path

from scaleinv.report.claim_tables import print_table, write_claims
from scaleinv.report.judging import judge_all
from scaleinv.runs.errors import UserError


def main() -> None:
    """Parse the command, judge, print, and write the verdicts with ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m scaleinv.report.claims", description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, help="a study's folder, with index.json")
    parser.add_argument("--out", type=Path, help="also write OUT.csv and OUT.md")
    options = parser.parse_args()
    try:
        table = judge_all(options.records)
        print_table(table)
        if options.out is not None:
            write_claims(table, options.out)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
