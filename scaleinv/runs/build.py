"""Make the objects that a configuration describes."""

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from typing import Any

import torch

from scaleinv.runs.config import Config
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.environment import list_devices
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.weights import kept_weights
from scaleinv.schedules import Schedule
from scaleinv.symmetry.network import Network
from scaleinv.training.cell import Cell
from scaleinv.training.data import Dataset
from scaleinv.training.regauge import check_gauge

# The network that was built last.
_built: dict[str, Network] = {}
# The data set that was loaded last.
_on_device: dict[str, Dataset] = {}


def build_cell(config: Config) -> Cell:
    """Load the data onto the device and build the cell.

    Raises:
        ConfigError: space, network, optimizer and gauge do not go together, or the schedule does not fit into the run.
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
        accumulate=config.accumulate,
        number=config.number,
        gauge=config.gauge,
        probes=config.probes,
        schedule=config.schedule,
        epochs=config.epochs,
        loss=config.loss,
        penalties=config.penalties,
        kept=lambda name, member: kept_weights(name, member, config.folder.parent),
    )
    try:
        rule = config.optimizer.transformation()
        check_gauge(config.gauge, config.space, config.number, network.graph, rule, config.labels["optimizer"])
    except ValueError as error:
        raise ConfigError(
            str(error), f"gauge={config.resolved['gauge']['name']}", "set gauge=none, or change the other"
        ) from error
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
    """Load the data set onto the device; the last one is cached for the next cell of a sweep.

    Raises:
        ConfigError: its targets are numbers, and the loss or the task needs labels.
        DataError: the data set is missing or damaged.
    """
    device = list_devices(config.device)[0]
    key = f"{config.dataset!r} {config.source!r} {device} {config.dtype}"
    if key not in _on_device:
        _on_device.clear()
        common = {field.name: getattr(config.dataset, field.name) for field in fields(config.dataset)}
        del common["hidden"], common["label"]
        own = {field.name: getattr(config.source, field.name) for field in fields(config.source)}
        _on_device[key] = load_dataset(**common, **own).to(device, getattr(torch, config.dtype))
    dataset = _on_device[key]
    needy = {
        "loss": (not config.loss.takes_numbers, "set loss=mean_squared_error"),
        "optimizer": (config.optimizer.needs_labels, "choose another likelihood or optimizer"),
        "task": (config.task.needs_labels, "choose another task"),
    }
    for group, (needs_labels, mend) in needy.items():
        if dataset.has_numbers and needs_labels:
            name = config.resolved[group]["name"]
            raise ConfigError(
                f"{group} {name} needs labels, and the targets of {dataset.name} are numbers",
                f"{group} dataset",
                f"{mend}; or give whole numbers from 0 as targets, if they are classes",
            )
    return dataset


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
