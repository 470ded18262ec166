"""Laplace approximations of kept weights, in weights and in charts, of a network and of its rescalings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from scaleinv.minima.predictions import calibration_error
from scaleinv.runs.build import build_cell, build_dataset, build_network
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.run import run
from scaleinv.runs.tasks._parts import part_of
from scaleinv.runs.tasks.base import Task
from scaleinv.runs.weights import LAST, kept_state
from scaleinv.spaces.base import ParameterSpace
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import Network
from scaleinv.training.cell import LR, list_members
from scaleinv.training.data import Dataset
from scaleinv.wrappers import SpaceModule

COLUMNS = (
    *("dataset", "network", "coordinates", "structure", "sigma", "lr", "seed"),
    *("prior_precision", "log_evidence", "accuracy", "nll", "ece", "auroc", "change"),
)
# Structure of the posterior's precision -> name of the class of laplace-torch.
STRUCTURES = {"full": "FullLaplace", "diag": "DiagLaplace", "last": "FullSubnetLaplace"}
# Coordinates and structure of the rows of the network itself, without a posterior.
MAP = "none"
BALANCED = "balanced"
# A full precision of more parameters would not fit into memory.
LARGEST = 10_000
# Images per batch; Jacobians of a batch take (images x classes) backward passes over all of it.
BATCH = 16


@dataclass(frozen=True)
class Laplace(Task):
    """Fit Laplace approximations (GGN, isotropic prior, precision of the prior by the evidence) and score them.

    The networks are the last weights of a run like this one, in the folder ``<name>/members`` beside it, trained first
    if missing. Each is rescaled by ``lambda = exp(sigma N)`` in powers of two, which changes no output, and the
    posterior ``N(c, (H + tau I)^-1)`` is fitted in every system of coordinates c. Predictions are those of the
    linearised network with the probit approximation, so they need no samples. All in float64, by laplace-torch.

    Columns: ``nll``, ``ece`` and ``accuracy`` on the test images (validation images where there are none), ``auroc`` of
    telling them by their confidence from themselves after a quarter turn, ``log_evidence``, and ``change``: the largest
    change of a probability by the rescaling. Rows with the structure ``none`` are the network itself.

    Attributes:
        coordinates: systems of coordinates, each with a ``label``, a ``space`` as in the configuration, and, if the
            network shall be brought there first, ``gauge: balanced``.
        structures: ``full``, ``diag``, or ``last`` (full, of the layer before the outputs).
        sigmas: spreads of the rescalings; 0 is the network as it was trained.
        prior_precisions: grid of tau.
        images: at most so many training images are fitted, and so many test images scored: the first ones.
    """

    coordinates: list[dict[str, Any]]
    structures: list[str]
    sigmas: list[float]
    prior_precisions: list[float]
    images: int

    def __post_init__(self) -> None:
        """Check the lists."""
        for structure in self.structures:
            if structure not in STRUCTURES:
                raise ValueError(f"structures must list some of {', '.join(STRUCTURES)}, got {structure!r}")
        labels = [one.get("label") for one in self.coordinates]
        if not labels or None in labels or len(set(labels)) < len(labels):
            raise ValueError(f"coordinates must list at least one system, each with its label, got {labels}")
        for one in self.coordinates:
            if extra := sorted(one.keys() - {"label", "space", "gauge"}):
                raise ValueError(f"coordinates have the keys label, space and gauge, got {', '.join(extra)}")
            if one.get("gauge", BALANCED) != BALANCED:
                raise ValueError(f"the gauge of coordinates can be {BALANCED}, got {one['gauge']!r}")
        if 0 not in self.sigmas or min(self.sigmas) < 0:
            raise ValueError(f"sigmas must be at least 0 and list 0, with which the others are compared: {self.sigmas}")
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")
        if not self.prior_precisions or min(self.prior_precisions) <= 0:
            raise ValueError(f"prior_precisions must list numbers above 0, got {self.prior_precisions}")

    def prepare(self, config: Config) -> None:
        """Check the library, the networks and the spaces; see :meth:`Task.prepare`."""
        if find_spec("laplace") is None:
            raise UserError("the task laplace needs a library that is not installed: pip install laplace-torch")
        for one in self.coordinates:
            build_cell(self._part(config, one))
        dataset = build_dataset(config)
        graph = build_network(config, dataset).graph
        if "full" in self.structures and graph.parameters > LARGEST:
            raise ConfigError(
                f"a full precision of {graph.parameters} parameters is too large, {LARGEST} are the most; leave full"
                " out or make the network smaller",
                "task.structures",
            )
        if len(dataset.shape) != 3:
            raise ConfigError("a quarter turn needs images; choose another data set", "dataset")

    def cost(self, config: Config) -> float:
        """Return the run's; see :meth:`Task.cost`."""
        part = self._part(config, {})
        return part.task.cost(part)

    def _part(self, config: Config, coordinates: Mapping[str, Any]) -> Config:
        space = {"space": coordinates["space"]} if "space" in coordinates else {}
        return part_of(config, space, list(config.seeds))

    def run(self, config: Config, folder: RunFolder) -> str:
        """Train what is missing, fit and score; see :meth:`Task.run`."""
        part = self._part(config, {})
        run(part)
        dataset = build_dataset(config)
        network = build_network(config, dataset)
        spaces = {one["label"]: self._part(config, one).space for one in self.coordinates}
        names = config.labels["dataset"], config.labels["network"]
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for member in list_members(part.seeds, part.axes):
            state = kept_state(part.folder, member.index, LAST)
            place = member.at[LR], member.seed
            for label, structure, sigma, *numbers in self._rows(network, dataset, state, spaces, member.seed):
                rows.append((*names, label, structure, sigma, *place, *numbers))
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(dataset.scale.device))
        return f"{len(rows) - 1} posteriors of {len(config.seeds)} seeds"

    def _rows(
        self,
        network: Network,
        dataset: Dataset,
        state: Mapping[str, Tensor],
        spaces: Mapping[str, ParameterSpace],
        seed: int,
    ) -> Iterator[tuple[Any, ...]]:
        """Fit and score all posteriors of one network; nothing if it has diverged."""
        if not all(t.isfinite().all() for t in state.values()):
            return
        model = network.drawn(0).to(dataset.scale.device, torch.float64).eval()
        model.load_state_dict(state)
        data = Splits.of(dataset, network, self.images)
        logits = predict(model, data.test).log_softmax(-1), predict(model, data.turned).log_softmax(-1)
        yield (MAP, MAP, 0.0, None, None, *score(logits[0].exp(), logits[1].exp(), data.test_labels), 0.0)
        weights = {name: model.get_parameter(name).detach().clone() for name in network.graph.shapes}
        graph = network.graph.to(dataset.scale.device)
        generator = torch.Generator().manual_seed(seed)
        direction = random_scales(graph, generator=generator).log2()
        for one in self.coordinates:
            for structure in self.structures:
                first: Tensor | None = None
                for sigma in sorted(self.sigmas):
                    scales = (sigma * direction).round().exp2().to(dataset.scale.device)
                    at = rescale(graph, weights, scales)
                    if one.get("gauge") == BALANCED:
                        at = balance(graph, at)
                    model.load_state_dict({**model.state_dict(), **at})
                    module = SpaceModule(model, spaces[one["label"]], example=data.test[:2])
                    posterior = fit(module, structure, data, self.prior_precisions)
                    test, turned = (posterior.of(images) for images in (data.test, data.turned))
                    first = test if first is None else first
                    change = float((test - first).abs().max())
                    numbers = posterior.prior_precision, posterior.log_evidence
                    yield one["label"], structure, sigma, *numbers, *score(test, turned, data.test_labels), change


@dataclass(frozen=True)
class Splits:
    """Normalised images, as the network takes them, and labels."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    turned: Tensor

    @classmethod
    def of(cls, dataset: Dataset, network: Network, most: int) -> "Splits":
        """Normalise the first images of a data set, and turn those of the test by a quarter."""
        train, test = dataset.train, dataset.test or dataset.val

        def shaped(images: Tensor) -> Tensor:
            return dataset.normalise(images[:most]).double().unflatten(-1, network.inputs)

        turned = test.images.unflatten(-1, dataset.shape).rot90(1, (-2, -1)).flatten(1)
        labels = train.labels[:most], test.labels[:most]
        return cls(shaped(train.images), labels[0], shaped(test.images), labels[1], shaped(turned))


class Posterior:
    """A fitted Laplace approximation, with the precision of the prior at the largest evidence of a grid."""

    def __init__(self, approximation: Any, prior_precisions: Sequence[float]) -> None:
        """Choose the precision of the prior."""
        self._approximation = approximation
        evidence = {tau: float(approximation.log_marginal_likelihood(_as_tensor(tau))) for tau in prior_precisions}
        self.prior_precision = max(evidence, key=lambda tau: evidence[tau])
        self.log_evidence = evidence[self.prior_precision]
        approximation.prior_precision = _as_tensor(self.prior_precision)

    def of(self, images: Tensor) -> Tensor:
        """Return the probabilities of the classes, ``(images, classes)``."""
        parts = [self._approximation(part, pred_type="glm", link_approx="probit") for part in images.split(BATCH)]
        return torch.cat(parts).detach()


def fit(module: SpaceModule, structure: str, data: Splits, prior_precisions: Sequence[float]) -> Posterior:
    """Fit the posterior of a module's coordinates on the training images.

    Coordinates that are fixed have neither an effect nor a mean: they keep their prior, and change nothing.
    """
    import laplace  # takes seconds
    from laplace.curvature import GGNInterface

    # The library's own default backend knows layers, not coordinates; this one takes any parameters.
    options: dict[str, Any] = {"backend": GGNInterface}
    if structure == "last":
        options["subnetwork_indices"] = last_layer(module)
    approximation = getattr(laplace, STRUCTURES[structure])(module, "classification", **options)
    approximation.fit(DataLoader(TensorDataset(data.train, data.train_labels), batch_size=BATCH))
    return Posterior(approximation, prior_precisions)


def last_layer(module: SpaceModule) -> Tensor:
    """Return the positions of the coordinates of the tensors that lead to outputs only."""
    heads = module.chart.graph.edges
    positions, start = [], 0
    for name, c in module.chart.origin.items():
        if not heads[name].head.any():
            positions.append(torch.arange(start, start + c.numel()))
        start += c.numel()
    return torch.cat(positions)


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Return the outputs of a model."""
    return torch.cat([model(part) for part in images.split(500)])


def score(test: Tensor, turned: Tensor, labels: Tensor) -> tuple[float, float, float, float]:
    """Return accuracy, mean negative log likelihood, calibration error, and AUROC against the turned images."""
    of_label = test.gather(-1, labels[:, None]).clamp(min=torch.finfo(test.dtype).tiny)
    accuracy, nll = float((test.argmax(-1) == labels).double().mean()), float(-of_label.log().mean())
    return accuracy, nll, calibration_error(test, labels), auroc(test.amax(-1), turned.amax(-1))


def _as_tensor(tau: float) -> Tensor:
    return torch.tensor([tau], dtype=torch.float64)


def auroc(inside: Tensor, outside: Tensor) -> float:
    """Return the probability that a number of the first kind is larger than one of the second; ties count half."""
    ordered = outside.sort().values
    below, not_above = (torch.searchsorted(ordered, inside, right=right) for right in (False, True))
    return float((below + not_above).double().mean() / (2 * len(outside)))
