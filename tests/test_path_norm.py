"""Promise: path norms of any network equal enumeration and an independent rewriting, and no rescaling changes them."""

import itertools
import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import NETWORKS, TINY, batch, draw, gradient, point
from torch import nn
from torch.nn import functional

from scaleinv import load_model
from scaleinv.networks.mlp import MLP, mlp
from scaleinv.optim import SGD
from scaleinv.optim.path_sgd import PathSGD
from scaleinv.penalties.path_norm import PathNormPenalty
from scaleinv.probes.base import Scene
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import CycleSpace, WeightSpace
from scaleinv.symmetry.complexity import Complexity
from scaleinv.symmetry.graph import Edges, Graph
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import Network, UnsupportedNetworkError
from scaleinv.symmetry.path_norm import model_path_norm, path_curvature, path_norm, path_sum
from scaleinv.training.chain import ChainEngine
from scaleinv.training.stack import move_

POWERS = [1.0, 2.0, 3.0]


class Residual(nn.Module):
    """A block of a residual network, with a projection where the shape changes."""

    def __init__(self, into, out, stride=1):  # noqa: D107
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if stride > 1 or into != out:
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(inner + self.shortcut(x))


class Concatenated(nn.Module):
    """Two branches side by side, the second with the images themselves."""

    def __init__(self):  # noqa: D107
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return torch.cat([self.left(x).relu(), x, functional.leaky_relu(self.right(x))], 1)


MODELS = {
    "residual": lambda: nn.Sequential(
        *(nn.Conv2d(2, 3, 5, 2, 2, bias=False), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)),
        *(Residual(3, 3), Residual(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    ),
    "plain": lambda: nn.Sequential(
        *(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool2d(2, 2), nn.AdaptiveAvgPool2d((3, 3)), nn.Flatten(), nn.Linear(36, 5), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(5, 3)),
    ),
    "concatenated": lambda: nn.Sequential(
        *(Concatenated(), nn.AvgPool2d(3, 2, 1), nn.Conv2d(7, 4, 3, groups=1), nn.BatchNorm2d(4, affine=False)),
        *(nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(1), nn.Linear(36, 2)),
    ),
}


def made(name):
    torch.manual_seed(3)
    model = MODELS[name]().eval().double()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return model


class Affine(nn.Module):
    """What is left of batch norm in evaluation mode."""

    def __init__(self, norm, p):  # noqa: D107
        super().__init__()
        scale = 1 / (norm.running_var + norm.eps).sqrt()
        shift = -norm.running_mean * scale
        if norm.affine:
            scale, shift = norm.weight * scale, norm.bias + norm.weight * shift
        self.scale, self.shift = scale.abs() ** p, shift.abs() ** p

    def forward(self, x):
        return x * self.scale[:, None, None] + self.shift[:, None, None]


class Window(nn.Module):
    """A convolution of each channel with a constant."""

    def __init__(self, size, stride, padding, coefficient):  # noqa: D107
        super().__init__()
        self.options, self.coefficient, self.size = (stride, padding), coefficient, size

    def forward(self, x):
        kernel = torch.full((x.shape[1], 1, self.size, self.size), self.coefficient, dtype=x.dtype)
        return functional.conv2d(x, kernel, None, *self.options, groups=x.shape[1])


def rewritten(model, p, size):
    """Another network, whose outputs at ones are the sums: every module replaced by a linear one, by hand."""
    for name, part in model.named_children():
        match part:
            case nn.MaxPool2d():
                new = Window(part.kernel_size, part.stride, part.padding, 1.0)
            case nn.AvgPool2d():
                new = Window(part.kernel_size, part.stride, part.padding, float(part.kernel_size) ** (-2 * p))
            case nn.AdaptiveAvgPool2d():
                out = part.output_size if isinstance(part.output_size, int) else part.output_size[0]
                new = Window(size // out, size // out, 0, float(size // out) ** (-2 * p))
            case nn.BatchNorm2d():
                new = Affine(part, p)
            case _:
                new = rewritten(part, p, size)
        setattr(model, name, new)
    with torch.no_grad():
        for parameter in model.parameters(recurse=False):
            parameter.copy_(parameter.abs() ** p)
    return model


SIZES = {"residual": (16, 2), "plain": (12, 3), "concatenated": (15, 1)}


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("name", MODELS)
def test_equals_an_independent_rewriting(name, p):
    size, last = SIZES[name]
    images = torch.zeros(1, 2, size, size, dtype=torch.float64)
    model = made(name)
    with torch.no_grad():
        wanted = rewritten(made(name), p, last)(torch.ones_like(images)).sum() ** (1 / p)
    assert model_path_norm(model, images, p) == pytest.approx(wanted.item(), rel=1e-12)


@pytest.mark.parametrize("p", POWERS)
def test_equals_enumeration_of_all_paths_of_an_unrolled_network(p):
    """A convolution with bias, a pool and a linear layer: every path's value by itself."""
    torch.manual_seed(0)
    conv, head = nn.Conv2d(1, 2, 2, bias=True).double(), nn.Linear(8, 2).double()
    model = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(), head)
    zeros = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    unrolled = torch.autograd.functional.jacobian(lambda x: conv(x).flatten(), zeros).flatten(1).tolist()
    windows = [
        [c * 9 + (i + a) * 3 + j + b for a in (0, 1) for b in (0, 1)] for c in (0, 1) for i in (0, 1) for j in (0, 1)
    ]
    values = head.bias.tolist()
    for out, (pooled, window) in itertools.product(range(2), enumerate(windows)):
        for node in window:
            onwards = head.weight[out, pooled].item()
            values.append(conv.bias[node // 9].item() * onwards)
            values += [w * onwards for w in unrolled[node]]
    wanted = sum(abs(v) ** p for v in values) ** (1 / p)
    assert model_path_norm(model, zeros, p) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_programs_agree_with_the_closed_form_of_chains(network):
    weights, general = draw(network), replace(network, chain=())
    for p in POWERS:
        torch.testing.assert_close(path_norm(general, weights, p), path_norm(network, weights, p), rtol=1e-12, atol=0)
    curvature = path_curvature(network, weights)
    for name, kappa in path_curvature(general, weights).items():
        torch.testing.assert_close(kappa, curvature[name], rtol=1e-12, atol=0)


@pytest.mark.parametrize(("into", "out"), [(7, 3), (5, 4), (4, 6), (6, 2)])
def test_adaptive_pools_divide_by_the_sizes_of_their_windows(into, out):
    """Overlapping windows of different sizes too: by the linear map that the pool is."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d((out, 1)), nn.Flatten())
    zeros = torch.zeros(1, 1, into, 3, dtype=torch.float64)
    matrix = torch.autograd.functional.jacobian(model, zeros)
    assert model_path_norm(model, zeros, 2.0) == pytest.approx(matrix.norm().item(), rel=1e-12)


@pytest.mark.parametrize(
    ("space", "optimizer"), [(CycleSpace(), SGD()), (WeightSpace(), PathSGD(momentum=0.9))], ids=["cycle", "path_sgd"]
)
def test_the_penalty_keeps_training_independent_of_rescaling(space, optimizer):
    """Bit for bit, where without it training is; and it does change the training."""
    weights = draw(TINY, dtype=torch.float32)
    scales = random_scales(TINY.graph, 2.0, True, torch.Generator().manual_seed(3), torch.float32)
    images, ends = batch(TINY, dtype=torch.float32)[0], []
    for start, strength in ((weights, 0.1), (rescale(TINY.graph, weights, scales), 0.1), (weights, 0.0)):
        chart = space.chart(TINY.graph, start)
        own, rule = chart.start(), optimizer.transformation()
        terms = [PathNormPenalty(strength=strength).attach(Scene(TINY, chart, None, (), own, None))]
        state = rule.init(own)
        for k in range(5):
            _, grads = gradient(ChainEngine(TINY), own, *batch(TINY, 16, torch.float32, seed=k))
            state = move_(rule, point(chart, own), grads, state, torch.full((3,), -1e-3), terms)
        ends.append(TINY.forward(own, images))
    assert torch.equal(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2], rtol=1e-3)


def test_probes_and_penalty_in_a_run(tmp_path):
    """Their columns by hand, from the weights that the run kept."""
    probes = "probes=[path_norm,{name: complexity, alpha: 0.5, images: 50, quantile: 0.1}]"
    options = ["penalties=[{name: path_norm, strength: 0.01}]", "network.hidden=[6,5]", "seeds=2", "epochs=1"]
    config = compose([probes, *options, "keep=last", "dtype=float64", "progress=false", f"results={tmp_path}"])
    run(config)
    table = load_records(config.folder)
    data = load_dataset("digits").to("cpu", torch.float64)
    states = [load_model(config.folder, member).double().state_dict() for member in range(2)]
    kept = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    network = mlp((64, 6, 5, 10))
    last = table[table["epoch"] == 1].sort_values("seed")
    np.testing.assert_allclose(last["path_norm"], path_norm(network, kept), rtol=1e-10)
    np.testing.assert_allclose(last["path_norm_penalty"], 0.01 * path_sum(network, kept), rtol=1e-10)
    index = torch.arange(50) * len(data.train) // 50
    images, labels = data.normalise(data.train.images[index]), data.train.labels[index]
    gamma = Complexity(0.5).gamma(network, kept, images[None])
    np.testing.assert_allclose(last["gamma_net"], gamma, rtol=1e-10)
    for row, member in zip(last.itertuples(), range(2), strict=True):
        outputs = network.forward({n: w[member] for n, w in kept.items()}, images)
        margins = sorted(o[y] - max(o[j] for j in range(10) if j != y) for o, y in zip(outputs, labels, strict=True))
        assert row.margin == pytest.approx(margins[int(0.1 * 49)].item())
        assert row.gamma_over_margin == (pytest.approx(row.gamma_net / row.margin) if row.margin > 0 else np.inf)


def test_a_network_without_paths_is_refused_before_anything_is_made(tmp_path):
    for choice in ("optimizer=path_sgd", "penalties=[path_norm]", "probes=[path_norm]", "probes=[complexity]"):
        config = compose([f"network.name={__name__}:Smooth", choice, f"results={tmp_path / 'none'}"])
        with pytest.raises(ConfigError, match="no path norm is defined through gelu"):
            run(config)
    assert not (tmp_path / "none").exists()


@dataclass(frozen=True)
class Smooth(MLP):
    """A network with an activation that is not homogeneous, with the keys of the default network."""

    def network(self, inputs, outputs):
        features, anchor = math.prod(inputs), torch.zeros(1, 1, dtype=torch.long)
        shapes = {"0.weight": (3, features), "2.weight": (outputs, 3)}
        graph = Graph(shapes, dict.fromkeys(shapes, Edges(anchor, anchor)), ())
        return Network(partial(_smooth, features, outputs), graph, (features,), outputs)


def _smooth(features, outputs):
    return nn.Sequential(nn.Linear(features, 3, bias=False), nn.GELU(), nn.Linear(3, outputs, bias=False))


@pytest.mark.parametrize("p", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_exponents_are_refused(p):
    with pytest.raises(ValueError, match="p must be positive and finite"):
        path_sum(NETWORKS[0].values[0], {}, p)


class Product(nn.Module):
    def forward(self, x):
        return x * x


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (nn.GELU(), "no path norm is defined through gelu in module 1"),
        (nn.LayerNorm(3), "no path norm is defined through layer_norm in module 1"),
        (Product(), "no path norm is defined through mul in module 1 of two activations"),
    ],
    ids=["gelu", "layer-norm", "product"],
)
def test_what_has_no_paths_is_refused_in_one_sentence(part, words):
    with pytest.raises(UnsupportedNetworkError, match=words):
        model_path_norm(nn.Sequential(nn.Linear(2, 3), part, nn.Linear(3, 1)), torch.zeros(1, 2))
