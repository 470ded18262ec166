"""Grids of fixed values and learning rates."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.members import last_epoch
from scaleinv.report.methods import refuse_to_pool
from scaleinv.report.studies import Study

# The grid of the source, and the smaller one that was trained longer.
GRIDS = ("fig_4_7", "long_grid")


def value_cubes(study: Study) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray, int]]:
    """Yield name, losses after the last epoch (seeds, values, rates), values, rates, and epochs of every grid."""
    for experiment in GRIDS:
        for dataset in study.datasets(experiment):
            records = study.records(experiment, "value")
            own = records[records["dataset"] == dataset]
            refuse_to_pool(own, ["dataset"])
            table = last_epoch(own).pivot(index=["seed", "value"], columns="lr", values="val_loss")
            values = table.index.get_level_values("value").unique().to_numpy(dtype=float)
            cube = table.to_numpy().reshape(-1, len(values), table.shape[1])
            epochs = study.epochs(experiment, dataset)
            yield f"{dataset}, {epochs} epochs", cube, values, table.columns.to_numpy(dtype=float), epochs
