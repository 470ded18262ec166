"""Ensembles of kept weights: trains what is missing, then reads, combines and scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from scaleinv.minima.models import reestimate
from scaleinv.minima.predictions import Scores, score
from scaleinv.minima.weights import average
from scaleinv.runs.build import build_cell, build_dataset, build_network
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.run import run
from scaleinv.runs.tasks._parts import part_of
from scaleinv.runs.tasks.base import Task
from scaleinv.runs.weights import LAST, kept_state
from scaleinv.symmetry.network import Network
from scaleinv.training.autograd import make_engine
from scaleinv.training.cell import LR, Member, list_members
from scaleinv.training.data import Dataset, Split

MEASURES = tuple(f.name for f in fields(Scores))
COLUMNS = ("dataset", "network", "space", "optimizer", "method_label", "combine", "networks", "lr", "seed", *MEASURES)
# Ways to combine networks -> what their weights are averaged modulo; predictions are averaged as probabilities.
COMBINE: dict[str, str | None] = {"predictions": None, "weights": "none", "balanced": "scale"}
# Distance between the seeds of one ensemble's members.
SEEDS_APART = 1000


@dataclass(frozen=True)
class Ensemble(Task):
    """Score ensembles by accuracy, NLL, Brier, ECE, disagreement, mutual information, entropy and diversity.

    The networks are the kept weights of runs of their own, in the folder ``<name>/members`` beside this run's; those
    that are missing are trained first. Scores are on the test images, or the validation images where there are none.

    Attributes:
        methods: each with a ``label`` and keys that replace this run's own: ``epochs``, ``schedule``, ``penalties``,
            ``keep`` (whose epochs are the networks), and any other. A group with the name of this run's, or with none,
            replaces only the options that it gives. ``members`` is no key of a run: so many seeds, each trained as the
            others say.
        combine: ways to combine several networks: ``predictions`` (mean probabilities), ``weights`` (mean weights) and
            ``balanced`` (mean weights in the balanced gauge), the last two with the running statistics of batch norm
            estimated again on training images.
    """

    needs_labels: ClassVar[bool] = True
    is_tracked: ClassVar[bool] = True
    methods: list[dict[str, Any]]
    combine: list[str]

    def __post_init__(self) -> None:
        """Check that there is something to combine."""
        labels = [method.get("label") for method in self.methods]
        if not labels or None in labels or len(set(labels)) < len(labels):
            raise ValueError(
                f"methods must give at least one way to get an ensemble, each with its label, got {labels}"
            )
        for one in self.combine:
            if one not in COMBINE:
                raise ValueError(f"combine must list some of {', '.join(COMBINE)}, got {one!r}")

    def prepare(self, config: Config) -> None:
        """Check every method; see :meth:`Task.prepare`."""
        build_dataset(config)
        for method in self.methods:
            sub, _ = self._part(config, method)
            build_cell(sub)

    def cost(self, config: Config) -> float:
        """Add up the runs'; see :meth:`Task.cost`."""
        parts = [self._part(config, method)[0] for method in self.methods]
        return sum(part.task.cost(part) for part in parts)

    def _part(self, config: Config, method: Mapping[str, Any]) -> tuple[Config, int]:
        """Return the configuration of a method's run, and the number of seeds per ensemble."""
        where = f"task.methods, {method['label']}"
        own = dict(method)
        seeds = own.pop("members", 1)
        if not isinstance(seeds, int) or seeds < 1:
            raise ConfigError(f"an ensemble needs at least one network, got members={seeds!r}", where)
        part = part_of(config, own, [seed + SEEDS_APART * i for seed in config.seeds for i in range(seeds)])
        if not part.keep or part.keep == "best":
            raise ConfigError("an ensemble needs at least one network: keep must be last or a list of epochs", where)
        return part, seeds

    def run(self, config: Config, folder: RunFolder) -> str:
        """Train what is missing, and score; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = []
        dataset = build_dataset(config)
        for method in self.methods:
            part, seeds = self._part(config, method)
            run(part)
            rows += self._rows(part, method["label"], seeds, dataset)
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, [COLUMNS, *rows])
        folder.finish((), **describe(dataset.scale.device))
        return f"{len(rows)} ensembles of {len(self.methods)} methods"

    def _rows(self, part: Config, label: str, seeds: int, dataset: Dataset) -> Iterator[tuple[Any, ...]]:
        network = build_network(part, dataset)
        listed = list_members(part.seeds, part.axes)
        kept = [LAST] if part.keep == LAST else [str(epoch) for epoch in part.keep or ()]
        names = tuple(part.labels.values())
        for first in [m for m in listed if m.seed < SEEDS_APART]:
            group = [m for m in listed if m.seed % SEEDS_APART == first.seed and m.at == first.at]
            states = [kept_state(part.folder, m.index, epoch) for m in group for epoch in kept]
            assert len(group) == seeds
            for way in self.combine if len(states) > 1 else self.combine[:1]:
                scores = _scored(network, dataset, states, COMBINE[way])
                yield (*names, label, way, len(states), *_place(first), *scores)


def _place(member: Member) -> tuple[float, int]:
    return member.at[LR], member.seed


def _scored(
    network: Network, dataset: Dataset, states: Sequence[Mapping[str, Tensor]], modulo: str | None
) -> tuple[float | None, ...]:
    """Score the mean prediction of some networks, or the network of their mean weights; nothing if one has diverged."""
    if not all(t.isfinite().all() for state in states for t in state.values()):
        return (None,) * len(MEASURES)
    if modulo is not None:
        states = [_averaged(network, dataset, states, modulo)]
    split = dataset.test or dataset.val
    probabilities = torch.stack([_probabilities(network, dataset, state, split) for state in states])
    return astuple(score(probabilities, split.labels))


def _averaged(
    network: Network, dataset: Dataset, states: Sequence[Mapping[str, Tensor]], modulo: str
) -> dict[str, Tensor]:
    weights = [{name: state[name] for name in network.graph.shapes} for state in states]
    model = network.drawn(0)
    model.load_state_dict(average(network, weights, modulo), strict=False)
    model.to(dataset.scale)
    images = dataset.normalise(dataset.train.images)
    reestimate(model, images.unflatten(-1, network.inputs) if len(network.inputs) > 1 else images)
    return {name: t.cpu() for name, t in model.state_dict().items()}


def _probabilities(network: Network, dataset: Dataset, state: Mapping[str, Tensor], split: Split) -> Tensor:
    """Return a network's predictions for a whole split, ``(images, classes)``."""
    stacked = {name: t[None].to(dataset.scale.device) for name, t in state.items()}
    weights = {name: stacked.pop(name) for name in network.graph.shapes}
    engine = make_engine(network, stacked)
    parts = [
        engine.logits(weights, dataset.normalise(images)[None])[0].double().softmax(0).mT
        for images in split.images.split(500)
    ]
    return torch.cat(parts)
