"""Print best losses of finished runs as a Markdown table: ``python scripts/table.py results/runs [--dataset mnist]``.

One row a learning rate, one column a space and optimizer: mean and standard deviation over seeds of the best
validation loss over the epochs; the lowest of a column is bold.
"""

import argparse
import sys
from pathlib import Path

from scaleinv.report.members import best_epochs
from scaleinv.report.methods import KEYS, with_methods
from scaleinv.runs.records import RunFolder, find_runs, load_records

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("records", nargs="+", type=Path, help="run folders, or folders above them")
given = parser.parse_args()
records = load_records(*given.records, keys=KEYS)
if records.empty:
    sys.exit(f"there are no finished runs below {' '.join(map(str, given.records))}")
best = best_epochs(with_methods(records), extra=["method"])
for dataset, own in best.groupby("dataset", sort=False):
    means = own.pivot_table(index="lr", columns="method", values="val_loss", aggfunc="mean", sort=False)
    spreads = own.pivot_table(index="lr", columns="method", values="val_loss", aggfunc="std", sort=False)
    print(f"| {dataset}, learning rate | {' | '.join(means.columns)} |")
    print(f"| - |{' - |' * len(means.columns)}")
    for lr, row in means.iterrows():
        cells = [f"{mean:.4f} ± {spreads.loc[lr, method]:.4f}" for method, mean in row.items()]
        is_low = [mean == means[method].min() for method, mean in row.items()]
        cells = [f"**{cell}**" if low else cell for cell, low in zip(cells, is_low, strict=True)]
        print(f"| {lr:g} | {' | '.join(cells)} |")
manifests = [RunFolder(run).manifest for run in find_runs(*given.records) if RunFolder(run).is_done]
seconds = ", ".join(f"{manifest['wall_seconds']:.1f}" for manifest in manifests)
print(f"\nn = {best['seed'].nunique()} seeds; seconds a cell: {seconds}; {manifests[0]['device_name']},")
print(f"{manifests[0]['threads']} threads, torch {manifests[0]['versions']['torch']}")
