"""The schema of a configuration: types and ranges are here, default values in ``conf/``.

Hydra composes; this module then checks every key and value, because Hydra accepts ``+typo=1``, ``lr=nan`` and
``epochs=-3``. The options of spaces, optimizers and tasks are the fields of their own dataclasses.
"""

import hashlib
import json
import math
import os.path
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException

from scaleinv.runs.composing import composer, once_each, shell_command, surroundings
from scaleinv.runs.defaults import defaults
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.grids import written_out
from scaleinv.runs.registry import find, names
from scaleinv.runs.suggestions import conf_folders, did_you_mean

if TYPE_CHECKING:
    from scaleinv.augmentations.base import Augmentation
    from scaleinv.gauging.base import Gauge
    from scaleinv.losses.base import Loss
    from scaleinv.networks.base import Architecture
    from scaleinv.numbers.base import Number
    from scaleinv.optim.base import Optimizer
    from scaleinv.penalties.base import Penalty
    from scaleinv.probes.base import Probe
    from scaleinv.runs.datasets.base import ImageSet
    from scaleinv.runs.tasks.base import Task
    from scaleinv.schedules.base import Schedule
    from scaleinv.spaces.base import ParameterSpace
    from scaleinv.starts.base import Start
    from scaleinv.trackers.base import Tracker

# Keys and groups that are not part of a run's identity: WITHOUT_EFFECT change no result, ROUND_OFF change only
# round-off.
WITHOUT_EFFECT = {
    "name",
    "results",
    "rerun",
    "keep",
    "checkpoint_seconds",
    "progress",
    "objective",
    "dataset.root",
    "dataset.download",
    # dataset.checksum stands for the files.
    "dataset.path",
    "dataset.test_path",
    "tracker",
}
ROUND_OFF = {"device", "threads", "chunk", "capture"}
# Keys added later, with the value that reproduces the earlier behaviour. At that value they are not part of a run's
# identity, so that older runs keep their ids.
FORMERLY: dict[str, Any] = {
    "schedule.name": "constant",
    "loss.name": "cross_entropy",
    "penalties": [],
    "augment.name": "none",
    "number.name": "float",
    "dataset.split_seed": 0,
    "gauge.name": "none",
    "optimizer.clip": 0.0,
    "accumulate": 1,
}
# Key of an axis that every run has -> its column in the records. Any other option per member is an axis if it is given
# as a list; its column is named after its key.
AXES = {"optimizer.lr": "lr", "seeds": "seed", "space.value": "value"}
# Read through network.hidden, which is part of the identity.
READ_ELSEWHERE = {"dataset.hidden"}
# Options of data sets that are paths, which a command gives relative to the folder that it is started in.
PATHS = ("path", "test_path")
# Top-level keys that are not a run's: Hydra's own, the budget that experiments refer to, and how a sweep is paired.
BESIDE = {"hydra", "study", "zip"}
# Groups in which a file is chosen by name. The choice is recorded because a preset's keys do not contain its name.
CHOICES = (
    *("dataset", "network", "space", "optimizer", "schedule", "start", "augment", "number", "gauge"),
    *("loss", "task"),
)
# Numbers of a run that a search over runs can minimise.
OBJECTIVES = ("best_val_loss", "last_val_loss", "none")
# Longest name of a folder on the file systems in use.
NAME_BYTES = 255
# Groups of which all members of a stack share one object, so that its options are no axes.
SHARED = ("network", "task", "probe", "tracker")
# Key of the learning rates.
LR = "optimizer.lr"
# Grid of an option that other options make meaningless.
NOT_READ = (None,)
# Dotted key of an option per member -> its distinct numbers.
Grids = dict[str, tuple[Any, ...]]
# Group of options that are the fields of a class -> package of the classes, and their base class.
CLASSES = {
    "network": ("scaleinv.networks", "Architecture"),
    "space": ("scaleinv.spaces", "ParameterSpace"),
    "optimizer": ("scaleinv.optim", "Optimizer"),
    "schedule": ("scaleinv.schedules", "Schedule"),
    "start": ("scaleinv.starts", "Start"),
    "augment": ("scaleinv.augmentations", "Augmentation"),
    "number": ("scaleinv.numbers", "Number"),
    "gauge": ("scaleinv.gauging", "Gauge"),
    "loss": ("scaleinv.losses", "Loss"),
    "penalty": ("scaleinv.penalties", "Penalty"),
    "probe": ("scaleinv.probes", "Probe"),
    "task": ("scaleinv.runs.tasks", "Task"),
    "tracker": ("scaleinv.trackers", "Tracker"),
}
# The same with the group whose keys are not only those of its class.
PARTS = {**CLASSES, "dataset": ("scaleinv.runs.datasets", "ImageSet")}


@dataclass(frozen=True)
class DatasetConfig:
    """Options of :func:`scaleinv.runs.datasets.load_dataset`, and the hidden widths that go with the data set.

    The options of one data set alone are the fields of its class.
    """

    name: str
    split: str
    holdout: int | float
    normalise: str
    hidden: list[int]
    root: str = "auto"
    download: bool = True
    split_seed: int = 0
    checksum: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Config:
    """A checked configuration.

    Attributes:
        dataset: options that every data set has.
        source: the data set, with its own options.
        network: architecture of the network.
        space: parameter space. Where an option is an axis of the grid, the object holds its first number; the same
            goes for ``optimizer``, ``start`` and the others.
        optimizer: update rule.
        schedule: schedule of the learning rates.
        start: what is done to the drawn weights before training.
        number: format that the network reads its weights in.
        augment: changes of the training images, drawn anew for every epoch.
        gauge: choice of other weights of the same function, between the steps.
        loss: loss function.
        penalties: terms added to the loss, by name.
        probes: further measurements.
        task: the procedure to run.
        tracker: where the rows are shown while the run trains.
        axes: numbers of every axis of the grid, by key, learning rates last. ``space.value`` is an axis if the space
            reads it, any other option per member if it has several numbers.
        seeds: one replicate of the grid per seed.
        objective: number that a search over runs minimises, one of ``OBJECTIVES``.
        resolved: every key with its final value, as written to ``config.yaml``; keys that the task does not read have
            their values from ``conf/``.
        choices: file chosen in each of the groups ``CHOICES``, possibly a preset (``gspace_keep``).
        arguments: arguments of the command that makes this run; None if it was read from a ``config.yaml``.
    """

    dataset: DatasetConfig
    source: "ImageSet"
    network: "Architecture"
    space: "ParameterSpace"
    optimizer: "Optimizer"
    schedule: "Schedule"
    start: "Start"
    augment: "Augmentation"
    number: "Number"
    gauge: "Gauge"
    loss: "Loss"
    penalties: Mapping[str, "Penalty"]
    probes: tuple["Probe", ...]
    task: "Task"
    tracker: "Tracker"
    axes: Mapping[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    name: str
    epochs: int
    batch_size: int
    accumulate: int
    dtype: str
    tf32: bool
    device: str | tuple[str, ...]
    threads: int | None
    chunk: int | None
    capture: bool
    results: str
    rerun: bool
    keep: str | tuple[int, ...] | None
    checkpoint_seconds: float
    progress: bool
    objective: str
    resolved: dict[str, Any]
    choices: dict[str, str]
    arguments: tuple[str, ...] | None

    @property
    def labels(self) -> dict[str, str]:
        """Names of data set (or its label), network, space and optimizer, as in every row of the records."""
        names = {group: self.resolved[group]["name"] for group in ("dataset", "network", "space", "optimizer")}
        return {**names, "dataset": self.resolved["dataset"].get("label") or names["dataset"]}

    @property
    def run_id(self) -> str:
        """Readable prefix, then a hash of the keys that can change the result."""
        text = json.dumps(identity(self.resolved), sort_keys=True)
        words = self.task.words(self.resolved["task"]["name"], self.labels)
        readable = "-".join(re.sub(r"[^\w.]+", "_", word) for word in words)
        return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def title(self) -> str:
        """Readable name of the run: as its folder, but with the names of presets."""
        return " ".join(self.task.words(self.choices["task"], self.choices))

    @property
    def command(self) -> str:
        """The command that makes this run, or a comment if it was read from a ``config.yaml``."""
        return "# no command: see config.yaml" if self.arguments is None else shell_command(self.arguments)

    @property
    def folder(self) -> Path:
        """Folder of the run's records: ``results/<name>/<run id>``."""
        return Path(self.results).expanduser() / self.name / self.run_id


def identity(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves that can change a run's result, by dotted key."""
    skipped = WITHOUT_EFFECT | ROUND_OFF | READ_ELSEWHERE
    return {
        key: value
        for key, value in leaves(resolved)
        if skipped.isdisjoint((key, key.partition(".")[0])) and FORMERLY.get(key, ...) != value
    }


def leaves(nest: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List the leaves of nested mappings with their dotted keys; a skeleton given as lists is one leaf.

    A list of mappings with ``name`` gives one leaf for the names and one for every option
    (``penalties.l2_weights.strength``).
    """
    listed: list[tuple[str, Any]] = []
    for key, value in nest.items():
        if isinstance(value, Mapping) and not prefix:
            listed += leaves(value, f"{key}.")
        elif not prefix and isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            listed.append((key, [one["name"] for one in value]))
            for one in value:
                listed += leaves({k: v for k, v in one.items() if k != "name"}, f"{key}.{one['name']}.")
        else:
            listed.append((f"{prefix}{key}", value))
    return listed


def parse(composed: DictConfig, hydra: HydraConf | None = None) -> Config:
    """Check what Hydra composed.

    Args:
        composed: all groups and keys of ``conf/config.yaml``.
        hydra: Hydra's own keys, which hold the chosen files and the overrides. None if ``composed`` was read from the
            ``config.yaml`` of a run.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    if composed.get("zip") is not None:
        how = "add -m, or in an experiment's file write it into hydra.sweeper.params"
        raise ConfigError("zip pairs the values of a sweep, but this is one run", "zip", how)
    raw = _plain(composed)
    top = {f.name for f in fields(Config)} - {"source", "axes", "resolved", "choices", "arguments"}
    for key in sorted(set(raw) ^ top):
        if key in raw:
            raise ConfigError(f"there is no key {key}", key, did_you_mean(key, sorted(top)))
        raise ConfigError(f"the key {key} is missing", key, "do not remove it with ~")
    dataset, source = _dataset(raw, Path(hydra.runtime.cwd) if hydra else Path.cwd())
    parts, grids = _parts(raw)
    seeds = _seeds(raw["seeds"])
    checked = {
        "epochs": _number(raw, "epochs", int, 0),
        "batch_size": _number(raw, "batch_size", int, 1),
        "accumulate": _accumulate(raw),
        "checkpoint_seconds": _number(raw, "checkpoint_seconds", float, 0),
        "threads": _auto(raw, "threads"),
        "chunk": _auto(raw, "chunk"),
        "keep": _keep(raw["keep"], raw["epochs"]),
        "dtype": _one_of(raw, "dtype", ("float32", "float64")),
        "objective": _one_of(raw, "objective", OBJECTIVES),
        **{key: _typed(raw[key], bool, key) for key in ("tf32", "capture", "rerun", "progress")},
        **{key: _typed(raw[key], str, key) for key in ("name", "results")},
        "device": _device(raw["device"]),
    }
    _check_folder_name(checked["name"])
    if any(len(part.encode()) > NAME_BYTES for part in Path(checked["name"]).parts):
        raise ConfigError(f"too long for the name of a folder: {len(checked['name'])} characters", "name", "shorten it")
    return Config(
        dataset=dataset,
        source=source,
        **parts,
        probes=tuple(probe for _, probe in parse_list(raw["probes"], "probe", "probes")[0]),
        axes={key: grid for key, grid in grids.items() if len(grid) > 1 or (key in AXES and grid != NOT_READ)},
        seeds=seeds,
        resolved=_as_read(_listed(raw, parts, grids), parts["task"]),
        choices={group: str(hydra.runtime.choices[group] if hydra else raw[group]["name"]) for group in CHOICES},
        arguments=(*surroundings(hydra), *once_each(hydra.overrides.task)) if hydra else None,
        **checked,
    )


def _dataset(raw: dict[str, Any], folder: Path) -> "tuple[DatasetConfig, ImageSet]":
    """Make the options of a data set and the set itself; complete its paths and checksum in ``raw``.

    Args:
        raw: all keys; ``raw["dataset"]`` is replaced.
        folder: folder that relative paths start at.
    """
    from scaleinv.runs.datasets import read_examples, set_named

    node = raw["dataset"]
    if not isinstance(node, Mapping) or not isinstance(node.get("name"), str):
        raise ConfigError("the name of the data set is missing", "dataset.name", "do not remove it with ~")
    cls, common = set_named(node["name"]), {field.name for field in fields(DatasetConfig)}
    own = {field.name for field in fields(cls)}
    if twice := common & own:
        what = f"{node['name']} has the option {min(twice)}, which every data set has"
        raise ConfigError(what, f"dataset.{min(twice)}", "rename it")
    whole = {key: node[key] for key in node}
    for key in PATHS:
        if key in own and isinstance(node.get(key), str):
            whole[key] = os.path.normpath(folder / Path(node[key]).expanduser())
    source = _build(cls, {key: value for key, value in whole.items() if key not in common}, "dataset", sorted(common))
    shared = {key: value for key, value in whole.items() if key in common}
    for key, allowed in (("split", ("auto", "test", "holdout")), ("normalise", ("half", "dataset", "none"))):
        if key in shared:
            _one_of(shared, key, allowed, "dataset.")
    options = _build(DatasetConfig, shared, "dataset", sorted(own))
    if options.split_seed < 0:
        raise ConfigError(f"a seed is at least 0, got {options.split_seed}", "dataset.split_seed")
    if options.checksum == "auto":
        checksum = read_examples(options.name, source, options.root, options.download).checksum
        options, whole["checksum"] = replace(options, checksum=checksum), checksum
    raw["dataset"] = whole
    return options, source


def _parts(raw: Mapping[str, Any]) -> tuple[dict[str, Any], Grids]:
    """Make the objects of all groups, and the grids of their options per member, learning rates last."""
    parts: dict[str, Any] = {}
    grids: Grids = {}
    for group in CLASSES:
        if group in raw:
            read = {"space": parse_space, "optimizer": parse_optimizer}.get(group, parse_group)
            parts[group], own = read(raw[group], group)
            grids |= own
    penalties, own = parse_list(raw["penalties"], "penalty", "penalties")
    parts["penalties"] = dict(penalties)
    if len(penalties) > len(parts["penalties"]):
        raise ConfigError("a penalty is listed twice", "penalties", "give each once, with the sum of the strengths")
    grids |= own
    return parts, {**{key: grid for key, grid in grids.items() if key != LR}, LR: grids[LR]}


def parse_group(node: Any, group: str, key: str = "", also: Sequence[str] = ()) -> tuple[Any, Grids]:
    """Make the object that a group of keys describes.

    Args:
        node: mapping with ``name`` and options.
        group: one of ``CLASSES``.
        key: dotted key of the node, for messages; ``group`` if empty.
        also: further valid keys, read by the caller, for messages.

    Returns:
        The object, with the first number of each option per member, and all their numbers by dotted key.

    Raises:
        ConfigError: a key or value is wrong.
    """
    from scaleinv.symmetry.members import PerMember, WholePerMember

    key = key or group
    cls, options = _named(node, group, key)
    hints = typing.get_type_hints(cls)
    grids: Grids = {}
    for field in fields(cls):
        if hints[field.name] in (PerMember, WholePerMember):
            if options.get(field.name) in (None, list(NOT_READ)):
                if field.default is MISSING:
                    continue
                options[field.name] = field.default
            is_whole = hints[field.name] == WholePerMember
            grids[f"{key}.{field.name}"] = _grid(options[field.name], f"{key}.{field.name}", is_whole=is_whole)
            options[field.name] = grids[f"{key}.{field.name}"][0]
            if group in SHARED and len(grids[f"{key}.{field.name}"]) > 1:
                what = f"{key}.{field.name} is a list, but all members share one {group}"
                raise ConfigError(what, f"{key}.{field.name}", "give one number; in a sweep (-m), one run each")
    made = _build(cls, options, key, also)
    for name, grid in grids.items():
        for number in grid[1:]:  # checks that each is in range
            _build(cls, {**options, name.rpartition(".")[2]: number}, key, also)
    return made, grids


def parse_space(node: Any, key: str) -> "tuple[ParameterSpace, Grids]":
    """Make a space from its keys, as :func:`parse_group`. An option that it does not read gets the number None."""
    space, grids = parse_group(node, "space", key)
    for option, need in space.ignored.items():
        if len(grids[f"{key}.{option}"]) > 1:
            what = f"a list for {option} needs {need}"
            raise ConfigError(what, f"{key}.{option}", f"set {key}.{need}, or give no list")
        grids[f"{key}.{option}"] = NOT_READ
    return space, grids


def parse_optimizer(node: Any, key: str) -> "tuple[Optimizer, Grids]":
    """Make an optimizer from its keys, as :func:`parse_group`. Its learning rate is an option per member too."""
    if not isinstance(node, Mapping) or "lr" not in node:
        raise ConfigError("the learning rate is missing", f"{key}.lr", "give a number or a list")
    lrs = _grid(node["lr"], f"{key}.lr", positive=True)
    optimizer, grids = parse_group({k: v for k, v in node.items() if k != "lr"}, "optimizer", key, also=("lr",))
    return optimizer, {**grids, f"{key}.lr": lrs}


def _listed(raw: Mapping[str, Any], parts: Mapping[str, Any], grids: Grids) -> dict[str, Any]:
    """Write options per member and seeds uniformly: several numbers as a list, those of ``AXES`` always as a list."""
    listed = {key: dict(value) if isinstance(value, Mapping) else value for key, value in raw.items()}
    listed["seeds"] = list(_seeds(raw["seeds"]))
    penalties = {name: {"name": name, **asdict(penalty)} for name, penalty in parts["penalties"].items()}
    listed["penalties"] = list(penalties.values())
    for key, grid in grids.items():
        group, option = key.rsplit(".", 1)
        node = penalties[group.removeprefix("penalties.")] if group.startswith("penalties.") else listed[group]
        node[option] = list(grid) if len(grid) > 1 or key in AXES else grid[0]
    return listed


def _as_read(resolved: dict[str, Any], task: "Task") -> dict[str, Any]:
    """Reset keys that a task does not read to their values in ``conf/``, so that they do not change the run's id."""
    if task.reads is None:
        return resolved
    read = {*task.reads, "task"}
    plain = defaults()
    plain = _listed(plain, *_parts(plain))
    kept: dict[str, Any] = {}
    for key, value in resolved.items():
        if key in read | WITHOUT_EFFECT | ROUND_OFF:
            kept[key] = value
        elif isinstance(value, Mapping):
            kept[key] = {**plain[key], **{k: v for k, v in value.items() if f"{key}.{k}" in read}}
        else:
            kept[key] = plain[key]
    return kept


def parse_list(given: Any, group: str, key: str) -> tuple[list[tuple[str, Any]], Grids]:
    """Make the objects that a list describes.

    Args:
        given: the list; each entry is a name, or a mapping with ``name`` and options that replace those of its file.
        group: one of ``CLASSES``; the files are in ``conf/<group>``.
        key: key of the list.

    Returns:
        Pairs of name and object, and the numbers of their options per member, by ``key.name.option``.

    Raises:
        ConfigError: a key or value is wrong.
    """
    if not isinstance(given, list):
        raise ConfigError(f"{key} must be a list, got {given!r}", key, f"write {key}=[{names(CLASSES[group][0])[0]}]")
    named = []
    grids: Grids = {}
    for one in given:
        own = one if isinstance(one, dict) else {"name": one}
        files = [folder / group / f"{own.get('name')}.yaml" for folder in conf_folders()]
        values = next((OmegaConf.to_container(OmegaConf.load(file)) for file in files if file.is_file()), {})
        assert isinstance(values, dict)
        made, numbers = parse_group(values | own, group, f"{key}.{own.get('name')}")
        named.append((str(own["name"]), made))
        grids |= numbers
    return named, grids


def compose(overrides: Sequence[str] = ()) -> Config:
    """Build a configuration from overrides, as the command line does.

    For example ``compose(["dataset=mnist", "optimizer.lr=[0.1,0.01]"])``.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    with composer() as composed:
        return parse(*composed(overrides))


def _plain(composed: DictConfig) -> dict[str, Any]:
    try:
        raw = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key or "?"
        raise ConfigError(f"{key} must be given", key, f"add {key}=... to the command") from error
    except InterpolationKeyError as error:
        raise ConfigError(str(error).splitlines()[0], error.full_key or "") from error
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items() if key not in BESIDE}


def _named(node: Any, group: str, key: str) -> tuple[type, dict[str, Any]]:
    """Return the class that a node names, and the node's other keys."""
    name = node.get("name") if isinstance(node, dict) else node
    return class_named(group, name, key), {key: value for key, value in node.items() if key != "name"}


def class_named(group: str, name: Any, key: str) -> type:
    """Return the class of a group's part by its name.

    Raises:
        ConfigError: there is none; ``key`` is where the name stands.
    """
    package, base = PARTS[group]
    try:
        return find(package, str(name), getattr(import_module(f"{package}.base"), base))
    except LookupError as error:
        mend = str(error.args[0]) if ":" in str(name) else did_you_mean(str(name), names(package))
        raise ConfigError(f"there is no {group} {name!r}", f"{key}.name", mend) from error
    except TypeError as error:
        raise ConfigError(str(error), f"{key}.name", "name a class that can be made") from error


def _build(cls: type, options: Any, group: str, also: Sequence[str] = ()) -> Any:
    """Make a dataclass from a group's keys, with every type checked; ``also`` are further valid keys, for messages."""
    if not isinstance(options, Mapping):
        raise ConfigError(f"{group} must be a group of keys, got {options!r}", group)
    hints = typing.get_type_hints(cls)
    known = [field.name for field in fields(cls)]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"there is no key {group}.{name}", f"{group}.{name}", did_you_mean(str(name), sorted([*known, *also]))
            )
    for field in fields(cls):
        if field.name not in options and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(
                f"the key {group}.{field.name} is missing", f"{group}.{field.name}", "do not remove it with ~"
            )
    typed = {key: _typed(value, hints[key], f"{group}.{key}") for key, value in options.items()}
    try:
        return cls(**typed)
    except ValueError as error:
        first = str(error).split(" ", 1)[0]
        raise ConfigError(str(error), f"{group}.{first}" if first in typed else group) from error


def _typed(value: Any, hint: Any, key: str) -> Any:
    """Return the value as the hinted type, or raise; an int passes as a float, a bool as neither."""
    if _fits(value, hint):
        return float(value) if hint is float else value
    mend = f"for one run each, add -m and write {key}={','.join(map(str, value))}" if isinstance(value, list) else ""
    raise ConfigError(f"{key} must be {_words(hint)}, got {value!r}", key, mend)


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is list:
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    if origin is typing.Literal:
        return value in inner
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is Any or isinstance(value, origin or hint)


def _words(hint: Any) -> str:
    inner = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_words(one) for one in inner)
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, inner))}"
    if typing.get_origin(hint) is list:
        return f"a list, each {_words(inner[0])}"
    named = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Mapping: "a mapping"}
    return named.get(hint, getattr(hint, "__name__", str(hint)))


def _number(raw: Mapping[str, Any], key: str, kind: type, least: float) -> Any:
    value = _typed(raw[key], kind, key)
    if not math.isfinite(value) or value < least:
        raise ConfigError(f"{key} must be at least {least}, got {value}", key)
    return value


def _device(given: Any) -> str | tuple[str, ...]:
    """Read a device, or a list of those that a run may take."""
    if isinstance(given, list):
        if not given:
            raise ConfigError("device is an empty list", "device", "write device=[cuda:0,cuda:1] or device=auto")
        if all(isinstance(one, str) for one in given):
            return tuple(given)
    elif isinstance(given, str):
        return given
    raise ConfigError(
        f"device must be text or a list of texts, got {given!r}", "device", "there are auto, cpu, cuda, cuda:1, ..."
    )


def _accumulate(raw: Mapping[str, Any]) -> int:
    """Read the number of parts of a batch."""
    parts = _number(raw, "accumulate", int, 1)
    if parts > raw["batch_size"]:
        raise ConfigError(f"a batch of {raw['batch_size']} images cannot be cut into {parts} parts", "accumulate")
    return parts


def _check_folder_name(name: str) -> None:
    """Refuse a name that would lead out of the results folder; ``a/b`` is allowed."""
    if "\\" in name or ":" in name or not name.isprintable() or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise ConfigError(f"must be the name of a folder inside results, got {name!r}", "name", "write name=runs")


def _auto(raw: Mapping[str, Any], key: str) -> int | None:
    if raw[key] == "auto":
        return None
    if not _fits(raw[key], int) or raw[key] < 1:
        raise ConfigError(f"{key} must be auto or a whole number from 1, got {raw[key]!r}", key)
    return raw[key]


def _one_of(raw: Mapping[str, Any], key: str, allowed: Sequence[str], prefix: str = "") -> str:
    if raw[key] not in allowed:
        raise ConfigError(f"{prefix}{key} must be one of {', '.join(allowed)}, got {raw[key]!r}", f"{prefix}{key}")
    return raw[key]


def _keep(given: Any, epochs: int) -> str | tuple[int, ...] | None:
    """Read which weights to keep: none, last, best, or a list of epochs."""
    if given in ("none", None):
        return None
    if given in ("last", "best"):
        return str(given)
    if not isinstance(given, list) or not all(_fits(epoch, int) for epoch in given):
        raise ConfigError(f"keep must be none, last, best or a list of epochs, got {given!r}", "keep")
    for epoch in given:
        if not 0 <= epoch <= epochs:
            raise ConfigError(f"there is no epoch {epoch} to keep: the run has epochs 0 to {epochs}", "keep")
    return tuple(dict.fromkeys(given))


def _grid(given: Any, key: str, positive: bool = False, is_whole: bool = False) -> tuple[float, ...]:
    """Read a number or a list of numbers; a repeated number is run once."""
    kind, words = (int, "whole number") if is_whole else (float, "number")
    given = written_out(given)
    listed = given if isinstance(given, list) else [given]
    if not listed:
        raise ConfigError(f"{key} is an empty list", key, "give at least one number")
    for value in listed:
        if not _fits(value, kind):
            raise ConfigError(f"{key} must be a {words} or a list of {words}s, got {value!r}", key)
        if not math.isfinite(value) or (positive and value <= 0):
            wanted = "finite and greater than 0" if positive else "finite"
            raise ConfigError(f"{key} must be {wanted}, got {value}", key)
    return tuple(dict.fromkeys(kind(value) for value in listed))


def _seeds(given: Any) -> tuple[int, ...]:
    """Read a number of seeds or a list of them."""
    given = written_out(given)
    if _fits(given, int):
        if given < 1:
            raise ConfigError(
                f"seeds must be at least 1, got {given}", "seeds", "write seeds=[0] for seed 0, seeds=3 for three seeds"
            )
        return tuple(range(given))
    if not isinstance(given, list) or not given:
        raise ConfigError(f"seeds must be a whole number or a list of them, got {given!r}", "seeds")
    for seed in given:
        if not _fits(seed, int) or not 0 <= seed < 2**63:
            raise ConfigError(f"a seed is a whole number from 0 to 2^63 - 1, got {seed!r}", "seeds")
    return tuple(dict.fromkeys(given))
