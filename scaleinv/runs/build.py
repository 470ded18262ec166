"""Make the objects that a configuration describes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

import torch

from scaleinv.runs.config import Config
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.environment import pick_device
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.weights import kept_weights
from scaleinv.schedules import Schedule
from scaleinv.symmetry.network import Network
from scaleinv.training.cell import Cell
from scaleinv.training.data import Dataset

# The network that was built last.
_built: dict[str, Network] = {}


def build_cell(config: Config) -> Cell:
    """Load the data onto the device and build the cell.

    Raises:
        ConfigError: the space cannot take the network, or the schedule does not fit into the run.
        DataError: the data set is missing or damaged.
    """
    dataset = build_dataset(config)
    network = build_network(config, dataset)
    support = config.space.supports(network.graph)
    if not support:
        raise ConfigError(
            f"space {config.labels['space']} cannot take this network: {'; '.join(support.reasons)}",
            f"space={config.labels['space']} network={config.labels['network']}",
            "choose another space (weight takes every network) or another network",
        )
    cell = Cell(
        network=network,
        dataset=dataset,
        space=config.space,
        optimizer=config.optimizer,
        axes=config.axes,
        seeds=config.seeds,
        batch_size=config.batch_size,
        start=config.start,
        augment=config.augment,
        number=config.number,
        probes=config.probes,
        schedule=config.schedule,
        epochs=config.epochs,
        loss=config.loss,
        penalties=config.penalties,
        kept=lambda name, member: kept_weights(name, member, config.folder.parent),
    )
    try:
        for schedule in _schedules(config):
            schedule.check(cell.steps_per_epoch, cell.epochs)
    except ValueError as error:
        raise ConfigError(str(error), "schedule epochs", "train for more epochs, or shorten the schedule") from error
    return cell


def _schedules(config: Config) -> Iterator[Schedule]:
    """Make the schedule of every member, each once."""
    own = {key.removeprefix("schedule."): grid for key, grid in config.axes.items() if key.startswith("schedule.")}
    for numbers in product(*own.values()):
        options: dict[str, Any] = dict(zip(own, numbers, strict=True))
        yield replace(config.schedule, **options)


def build_dataset(config: Config) -> Dataset:
    """Load the data set onto the device; the last one is cached for the next cell of a sweep."""
    options = config.dataset
    return _on_device(
        *(options.name, options.root, options.split, options.holdout, options.normalise, options.download),
        str(pick_device(config.device)),
        config.dtype,
    )


def build_network(config: Config, dataset: Dataset) -> Network:
    """Build the network that has the data set's inputs and one output per class.

    Raises:
        ConfigError: the architecture does not fit the data set.
    """
    # Tracing a model takes a good part of a second, and a run needs its network several times.
    key = f"{type(config.network).__module__} {config.network!r} {dataset.inputs} {dataset.classes}"
    if key in _built:
        return _built[key]
    _built.clear()
    try:
        return _built.setdefault(key, config.network.network(dataset.inputs, dataset.classes))
    except ValueError as error:
        raise ConfigError(str(error), f"network={config.labels['network']} dataset={dataset.name}") from error


@lru_cache(maxsize=1)
def _on_device(
    name: str, root: str, split: str, holdout: int, normalise: str, download: bool, device: str, dtype: str
) -> Dataset:
    return load_dataset(name, root, split, holdout, normalise, download).to(device, getattr(torch, dtype))
