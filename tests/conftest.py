"""What the tests share: tiny networks of every shape, every space with every option, and the command."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scaleinv import cli
from scaleinv.losses import CrossEntropy
from scaleinv.networks.mlp import mlp
from scaleinv.optim.base import Point
from scaleinv.penalties import Penalty, Term
from scaleinv.spaces import Chart, CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.spaces._gradient import Gradient
from scaleinv.symmetry.network import Network
from scaleinv.training.chain import ChainEngine
from scaleinv.training.engine import Engine

torch.set_num_threads(1)
# The suite writes thousands of small files, and no test cuts the power: do not wait for the disk.
os.fsync = lambda handle: None

# Every kind of shape, and of the four pairs of bias and slope at least one: each of a pair meets every space.
KINDS = {
    "straight": mlp((5, 4, 4, 4, 3)),
    "widening": mlp((3, 4, 6, 5), bias=True, negative_slope=0.1),
    "narrowing": mlp((6, 5, 3, 2), bias=True),
    "valley": mlp((4, 5, 2, 5, 3), negative_slope=0.1),
    "one-hidden-layer": mlp((4, 3, 6), bias=True, negative_slope=0.1),
    "width-one": mlp((2, 1, 1, 2)),
    "width-one-bias": mlp((2, 1, 1, 2), bias=True, negative_slope=0.1),
}
NETWORKS = [pytest.param(network, id=kind) for kind, network in KINDS.items()]
TINY = mlp((5, 4, 6, 4, 3), bias=True)

EXPLICIT = {
    "out": [[5, 0, 1, 3], [1, 2, 3, 0, 0, 1], [2, 2, 0, 1]],
    "into": [[1, 0, 4, 4], [3, 3, 0, 1, 2, 2], [5, 4, 1, 0]],
}

INVARIANT = {
    "gspace-keep": GSpace(fix="keep"),
    "gspace-rescale": GSpace(fix="rescale"),
    "gspace-keep-maxprod": GSpace("maxprod", fix="keep"),
    "gspace-rescale-hungarian": GSpace("log_hungarian", fix="rescale"),
    "gspace-balanced": GSpace(fix="keep", normalise="balanced"),
    "gspace-balanced-maxprod": GSpace("maxprod", fix="keep", normalise="balanced"),
    "cycle": CycleSpace(normalise="none"),
    "cycle-maxprod": CycleSpace("maxprod", normalise="none"),
    "cycle-balanced": CycleSpace(),
}
OTHERS = {
    "weight": WeightSpace(),
    "gspace-overwrite": GSpace(),
    "gspace-overwrite-2": GSpace(value=-0.5),
    "gspace-overwrite-maxprod": GSpace("maxprod"),
    "fixed": FixedWeightSpace(),
    "fixed-keep": FixedWeightSpace(fix="keep"),
    "fixed-rescale-maxprod": FixedWeightSpace("maxprod", fix="rescale"),
    "fixed-hungarian": FixedWeightSpace("hungarian", fix="keep"),
    "cycle-overwrite": CycleSpace(fix="overwrite", value=0.5, normalise="none"),
}
SPACES = [pytest.param(space, id=name) for name, space in (INVARIANT | OTHERS).items()]


@dataclass(frozen=True)
class FourthPowers(Term):
    """A term of a user's own, which leaves its gradient to autograd."""

    strength: torch.Tensor
    in_coordinates: bool

    def value(self, tensors):
        return self.strength * sum((t**4).flatten(1).sum(1) for t in tensors.values())


@dataclass(frozen=True, kw_only=True)
class L4(Penalty):
    in_coordinates: bool = False

    def attach(self, scene):
        return FourthPowers(self.strengths(scene), self.in_coordinates)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run scaleinv-run in this process; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCALEINV_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def invoke(*arguments):
        monkeypatch.setattr(sys, "argv", ["scaleinv-run", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        shown = capsys.readouterr()
        return stopped.value.code, shown.out, shown.err

    return invoke


@pytest.fixture(scope="session")
def published_claims():
    """The published verdicts. That the published records give them is test_release.py's; judging takes a while."""
    import pandas as pd

    table = pd.read_csv(Path(__file__).parents[1] / "results" / "release" / "claims.csv")
    return table.fillna({"figures": "", "rule": ""})


def draw(network: Network, members: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0) -> dict[str, Tensor]:
    """Draw weights of ordinary size, no entry close to zero."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in network.graph.shapes.items():
        sizes = 0.3 + torch.rand(members, *shape, generator=generator, dtype=torch.float64)
        signs = torch.randint(0, 2, (members, *shape), generator=generator) * 2 - 1
        weights[name] = (sizes * signs / shape[-1] ** 0.5).to(dtype)
    return weights


def batch(network: Network, n: int = 8, dtype: torch.dtype = torch.float64, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Draw images and labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, network.features, generator=generator, dtype=torch.float64).to(dtype)
    return images, torch.randint(network.outputs, (n,), generator=generator)


def stacked_gradients(
    network: Network, weights: dict[str, Tensor], images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Compute the gradients of all members, which share one batch."""
    return gradient(ChainEngine(network), weights, images, labels)[1].whole(weights)


def gradient(engine: Engine, weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Gradient]:
    """Compute the outputs, and the cross-entropy's gradient, of all members, which share one batch."""
    loss = CrossEntropy()
    targets = loss.targets(labels[None], engine.network.outputs, images.dtype)
    return engine.gradient(weights, images[None], targets, loss)


def point(chart: Chart, weights: dict[str, Tensor], network: Network = TINY) -> Point:
    """Return where a step begins, with some batch of the network's and no outputs."""
    dtype = next((w.dtype for w in weights.values()), torch.float64)
    images, labels = batch(network, dtype=dtype)
    elsewhere = lambda w: stacked_gradients(network, w, images, labels)  # noqa: E731
    return Point(weights, images[None], torch.empty(0), network, chart, gradient=elsewhere)


def member(tensors: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    """Cut one member out of a stack, without member dims."""
    return {name: t[index] for name, t in tensors.items()}


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor], rtol: float = 1e-10) -> None:
    """Compare tensor by tensor; a failure says which one, where and by how much."""
    assert set(found) == set(wanted)
    for name in wanted:
        torch.testing.assert_close(
            found[name],
            wanted[name],
            rtol=rtol,
            atol=rtol * float(wanted[name].abs().max()),
            msg=lambda m, n=name: f"{n}: {m}",
        )
