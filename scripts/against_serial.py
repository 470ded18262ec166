"""Train released curves again with the serial reference: ``python scripts/against_serial.py results/release/cpu``.

SGD in weight space, G-space and fixed-weight space on the first data set, each at its best learning rate, on two seeds,
with plain modules and torch.optim (``scaleinv.reference``). The two programs see the same batches but round
differently, so their losses drift apart; they agree if the difference stays within the range over seeds in every epoch.
With ``--out`` the losses are written to a CSV; the exit code is 1 if the programs disagree.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from scaleinv.networks.mlp import mlp
from scaleinv.reference import train_serial
from scaleinv.report.members import best_epochs, best_lr
from scaleinv.report.methods import refuse_to_pool, with_methods
from scaleinv.report.output import refuse_foreign
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.folder import write_atomically
from scaleinv.runs.records import load_experiment
from scaleinv.spaces import FixedWeightSpace, GSpace, WeightSpace
from scaleinv.wrappers import SpaceOptimizer

SPACES = {"weight": WeightSpace(), "gspace": GSpace(), "fixed": FixedWeightSpace()}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("study", type=Path, help="folder with index.json")
parser.add_argument("--data", default="data", help="folder of the data set")
parser.add_argument("--seeds", type=int, default=2)
parser.add_argument("--out", type=Path, help="path of a CSV")
given = parser.parse_args()
records = with_methods(load_experiment(given.study, "fig_4_10", None))
records = records[records["dataset"] == records["dataset"].iloc[0]]
refuse_to_pool(records, ["space"])
dataset = load_dataset(records["dataset"].iloc[0], given.data, download=False)
hidden = {"digits": (32, 32), "mnist": (64,) * 4, "cifar10": (64,) * 5}[dataset.name]
network = mlp((dataset.features, *hidden, dataset.classes))
rows = []
for name, space in SPACES.items():
    released = records[records["space"] == name]
    lr = float(best_lr(best_epochs(released), ["space"])["lr"].iloc[0])
    at_lr = released[(released["lr"] == lr) & (released["epoch"] > 0)]
    for seed in range(given.seeds):
        optimizer = partial(SpaceOptimizer, space=space, optimizer_class=torch.optim.SGD, lr=lr)
        found = train_serial(network, dataset, seed, optimizer, int(at_lr["epoch"].max()))
        for epoch, serial in enumerate(found, 1):
            seeds = at_lr.loc[at_lr["epoch"] == epoch].set_index("seed")["val_loss"]
            rows.append((name, lr, seed, epoch, seeds[seed], serial["val_loss"], seeds.max() - seeds.min()))
            print(f"{name} lr {lr:g} seed {seed} epoch {epoch}: {seeds[seed]:.4f} {serial['val_loss']:.4f}", flush=True)
table = pd.DataFrame(rows, columns=["space", "lr", "seed", "epoch", "stacked", "serial", "spread"])
table["within"] = (table["stacked"] - table["serial"]).abs() <= table["spread"]
if given.out:
    content = table.to_csv(index=False, float_format="%.6g").encode()
    refuse_foreign(given.out, is_ours=lambda old: old.split(b"\n")[0] == content.split(b"\n")[0])
    write_atomically(given.out, content)
print(f"{table['within'].sum()} of {len(table)} epochs within the seeds' spread")
first = table[table["epoch"] == 1]
print(f"largest relative difference after the first epoch: {(first['stacked'] / first['serial'] - 1).abs().max():.2e}")
sys.exit(0 if table["within"].all() else 1)
