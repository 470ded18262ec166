"""Runs that a task reads: trained as the task's own configuration says, with some keys replaced."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from scaleinv.runs.config import Config, parse
from scaleinv.runs.weights import LAST


def part_of(config: Config, method: Mapping[str, Any], seeds: list[int]) -> Config:
    """Return the configuration of a run in ``<name>/members`` that keeps its last weights, or those it is told to keep.

    Args:
        config: configuration of the task.
        method: keys of a configuration, with ``label``. A group with the name of the task's own, or with none, replaces
            only the options that it gives.
        seeds: seeds of the run.

    Raises:
        ConfigError: a key is unknown, or a value is out of range.
    """
    raw = {**config.resolved, "keep": LAST, "task": {"name": "sweep"}, "seeds": seeds, "name": f"{config.name}/members"}
    for key, value in method.items():
        old = config.resolved.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and value.get("name", old["name"]) == old["name"]:
            raw[key] = {**old, **value}
        elif key != "label":
            raw[key] = value
    return parse(OmegaConf.create(raw))
