"""Publish a finished study: ``python scripts/publish.py results/cpu``. It refuses if records are missing."""

import argparse
import sys
from pathlib import Path

from scaleinv.report.release import publish
from scaleinv.runs.errors import UserError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("study", type=Path, help="folder with index.json")
parser.add_argument("--partial", action="store_true", help="keep an earlier release's runs where some are missing")
parser.add_argument("--out", type=Path, default=Path("results/release"))
given = parser.parse_args()
try:
    told = publish(given.study, given.out, given.partial)
except UserError as error:
    sys.exit(str(error))
size = sum(path.stat().st_size for path in given.out.rglob("*") if path.is_file())
print(f"{told['runs']} runs, {size / 1e6:.1f} MB in {given.out}")
