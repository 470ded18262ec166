"""Records of runs that were not trained, shared by the tests that only read them."""

import itertools

from scaleinv.runs.config import Config, compose
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.sweep import axis_columns, columns, place
from scaleinv.training.cell import list_members


def record(results, *overrides, loss=1.0, **entries) -> Config:
    """Write the records of a run without training: two epochs, of losses that only ``loss``, lr and seed decide."""
    config = compose(["epochs=2", *overrides, f"results={results}"])
    folder = RunFolder(config.folder)
    with folder.locked():
        folder.write_config(config.resolved, "scaleinv-run")
        probed = [column for probe in config.probes for column in probe.columns(None)]
        rows = [(*columns(config.axes), *probed)]
        for member, epoch in itertools.product(list_members(config.seeds, config.axes), range(3)):
            own = loss * (1 + member.at["optimizer.lr"]) * (1 + member.seed / 100) / (1 + epoch)
            numbers = (own if epoch else None, 0.5 if epoch else None, own, 0.5, own, 0.5, "ok", None)
            rows.append((*config.labels.values(), *place(member), epoch, *numbers, *(0 for _ in probed)))
        folder.append(folder.metrics, rows)
        machine = {"device_name": "a processor", "threads": 1, "versions": {"torch": "2"}, "wall_seconds": 1.0}
        axes = axis_columns(config.axes)
        folder.finish((*axes.values(), "epoch"), axes=axes, **machine, **entries)
    return config
