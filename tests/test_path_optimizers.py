"""Promise: Path-SGD, DDP-SGD and the natural gradient are what their papers say, and no rescaling changes a bit."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import INVARIANT, TINY, assert_close, batch, draw, gradient, member
from small_networks import MODULES
from torch import nn

from scaleinv.networks.mlp import mlp
from scaleinv.optim._signs import random_signs
from scaleinv.optim._steepest import steepest
from scaleinv.optim.base import GradientTransformation, Point, chain
from scaleinv.optim.ddp_sgd import DDPSGD
from scaleinv.optim.natural_gradient import NaturalGradient
from scaleinv.optim.path_sgd import PathSGD
from scaleinv.optim.sgd import momentum as weight_momentum
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.symmetry.complexity import MOMENTS, SECOND_MOMENT, Complexity
from scaleinv.symmetry.fisher import fisher_diagonal
from scaleinv.symmetry.graph import Graph
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import path_curvature, path_sum
from scaleinv.training.autograd import make_engine
from scaleinv.training.stack import move_

SMALL = mlp((3, 4, 2, 2), bias=True, negative_slope=0.1)
ALPHAS = (0.0, 0.3, 1.0)


def flat(tensors):
    return torch.cat([t[0].flatten() for t in tensors.values()])


def unflat(vector, like):
    parts = vector.split([w[0].numel() for w in like.values()])
    return {name: part.view(1, *w.shape[1:]) for (name, w), part in zip(like.items(), parts, strict=True)}


def half_hessian(function, weights):
    """Half the diagonal of a brute-force Hessian by all weights of one member."""
    hessian = torch.autograd.functional.hessian(lambda v: function(unflat(v, weights)), flat(weights))
    return hessian.diagonal() / 2


@pytest.fixture(scope="module")
def small():
    return draw(SMALL, 1), batch(SMALL, 6)[0][None]


def test_path_curvature_is_the_diagonal_of_the_hessian_of_the_squared_path_norm(small):
    weights, _ = small
    wanted = half_hessian(lambda w: path_sum(SMALL, w)[0], weights)
    torch.testing.assert_close(flat(path_curvature(SMALL, weights)), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_ddp_curvature_is_the_diagonal_of_the_hessian_of_the_squared_complexity(small, alpha, moment):
    """With the factor 1/n that equation 30 lacks."""
    weights, images = small
    complexity = Complexity(alpha, moment)
    wanted = half_hessian(lambda w: complexity.gamma(SMALL, w, images)[0].square(), weights)
    torch.testing.assert_close(flat(complexity.curvature(SMALL, weights, images)), wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("moment", MOMENTS)
def test_complexity_interpolates_between_the_path_norm_and_the_moment_of_the_outputs(small, moment):
    weights, images = small
    outputs = SMALL.forward(weights, images)[0]
    spread = outputs.var(0, correction=0) if moment != SECOND_MOMENT else outputs.square().mean(0)
    for alpha, square in ((0.0, path_sum(SMALL, weights)), (1.0, spread.sum()[None])):
        torch.testing.assert_close(Complexity(alpha, moment).gamma(SMALL, weights, images).square(), square)


def test_alpha_zero_is_path_sgd_and_alpha_one_of_the_second_moment_the_fisher_diagonal(small):
    """Theorem 2, and the Fisher diagonal by its definition: squared gradients of each output at each image."""
    weights, images = small
    for moment in MOMENTS:
        assert_close(Complexity(0.0, moment).curvature(SMALL, weights, images), path_curvature(SMALL, weights), 1e-14)
    fisher = fisher_diagonal(SMALL, weights, images, "gaussian")
    assert_close(Complexity(1.0, SECOND_MOMENT).curvature(SMALL, weights, images), fisher, 1e-12)
    jacobian = torch.autograd.functional.jacobian(lambda v: SMALL.forward(unflat(v, weights), images)[0], flat(weights))
    torch.testing.assert_close(flat(fisher), jacobian.square().sum(1).mean(0), rtol=1e-12, atol=1e-15)
    log_q = torch.autograd.functional.jacobian(
        lambda v: SMALL.forward(unflat(v, weights), images)[0].log_softmax(-1), flat(weights)
    )
    q = SMALL.forward(weights, images)[0].softmax(-1)
    wanted = (q.unsqueeze(-1) * log_q.square()).sum(1).mean(0)
    softmax = flat(fisher_diagonal(SMALL, weights, images, "softmax"))
    torch.testing.assert_close(softmax, wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("moment", MOMENTS)
def test_random_signs_estimate_the_curvature_without_bias(small, moment):
    weights, images = small
    complexity, k = Complexity(0.5, moment), 4000
    signs = lambda group, nodes: random_signs(torch.tensor(7), group, (k, nodes), torch.float64)  # noqa: E731
    exact = flat(complexity.curvature(SMALL, weights, images))
    estimate = flat(complexity.curvature(SMALL, weights, images, signs=signs))
    torch.testing.assert_close(estimate, exact, rtol=0.12, atol=0.02 * float(exact.max()))


def test_signs_are_fair_and_new_at_every_step():
    drawn = torch.stack([random_signs(torch.tensor(t), s, (64, 64), torch.float64) for t in range(4) for s in (0, 1)])
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    assert drawn.mean((1, 2)).abs().max() < 4 / 64
    correlations = drawn.flatten(1) @ drawn.flatten(1).T / 64**2
    assert (correlations - torch.eye(8, dtype=torch.float64)).abs().max() < 4 / 64


@pytest.mark.parametrize("moment", MOMENTS)
def test_programs_agree_with_the_closed_form_of_chains(small, moment):
    weights, images = small
    general, complexity = replace(SMALL, chain=()), Complexity(0.3, moment)
    signs = lambda group, nodes: random_signs(torch.tensor(7), group, (3, nodes), torch.float64)  # noqa: E731
    both = [
        (
            {"gamma": complexity.gamma(network, weights, images)},
            complexity.curvature(network, weights, images),
            complexity.curvature(network, weights, images, signs=signs),
            fisher_diagonal(network, weights, images, "softmax"),
            fisher_diagonal(network, weights, images, "gaussian"),
        )
        for network in (SMALL, general)
    ]
    for chain_, program in zip(*both, strict=True):
        assert_close(program, chain_, 1e-10)


class Normalised(nn.Module):
    """A residual block with batch norm, average pooling and a leaky activation."""

    def __init__(self):  # noqa: D107
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 2, bias=False), nn.BatchNorm2d(2)
        self.inner, self.head = nn.Conv2d(2, 2, 1), nn.Linear(2, 2)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        x = nn.functional.leaky_relu(x + self.inner(x), 0.2)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_curvature_of_any_network_is_the_diagonal_of_the_hessian(moment):
    """With batch norm in evaluation mode; for alpha = 0 it is Path-SGD's."""
    shapes = {name: tuple(w.shape) for name, w in Normalised().named_parameters()}
    network = Network(Normalised, Graph(shapes, {}, ()), (1, 3, 3), 2)
    weights = draw(network, 1)
    images = torch.randn(1, 5, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    buffers = {
        "norm.running_mean": torch.tensor([[0.3, -0.2]]).double(),
        "norm.running_var": torch.tensor([[2.0, 0.7]]).double(),
    }
    buffers["norm.num_batches_tracked"] = torch.zeros(1, dtype=torch.long)
    for complexity in (Complexity(0.0, moment), Complexity(0.4, moment)):
        gamma = partial(complexity.gamma, network, images=images, buffers=buffers)
        wanted = half_hessian(lambda w, gamma=gamma: gamma(w)[0].square(), weights)
        found = flat(complexity.curvature(network, weights, images, buffers))
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    assert_close(
        Complexity(0.0, moment).curvature(network, weights, images, buffers), path_curvature(network, weights, buffers)
    )


DEEP = mlp((12, 16, 16, 20, 8, 5), bias=True)
OPTIMIZERS = {
    "path_sgd": PathSGD(),
    "path_sgd, momentum, decay": PathSGD(momentum=0.9, weight_decay=0.1),
    "ddp_sgd": DDPSGD(probes=0),
    "ddp_sgd, momentum": DDPSGD(alpha=0.25, moment=SECOND_MOMENT, probes=0, momentum=0.9),
    "ddp_sgd, probes": DDPSGD(alpha=0.75, probes=2, momentum=0.5),
    "natural_gradient": NaturalGradient(damping=0.1, momentum=0.9),
}


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize(
    "optimizer",
    [PathSGD(momentum=0.9), DDPSGD(alpha=0.5, probes=1, momentum=0.9), NaturalGradient(momentum=0.5)],
    ids=["path_sgd", "ddp_sgd", "natural_gradient"],
)
def test_powers_of_two_change_no_bit_in_other_networks(kind, optimizer):
    network = MODULES[kind]
    weights = draw(network, 2, torch.float32)
    lines = [train(optimizer.transformation(), WeightSpace(), weights, network, every, 4)[0] for every in (False, True)]
    assert lines[0].isfinite().all()
    assert not torch.equal(lines[0][0], lines[0][-1])
    assert torch.equal(*lines)


def train(rule, space, weights, network=TINY, every_step=False, steps=8, lrs=(1e-3, 1e-4)):
    """Train by the function that a stack trains with; return the outputs after every step, and the weights."""
    dtype = next(iter(weights.values())).dtype
    chart, engine = space.chart(network.graph, weights), make_engine(network, {})
    weights = chart.start()
    state, generator, seen = rule.init(weights), torch.Generator().manual_seed(5), []
    for k in range(steps):
        if every_step:
            scales = random_scales(network.graph, 2.0, powers_of_two=True, generator=generator, dtype=dtype)
            chart = chart.at(rescale(network.graph, weights, scales))
            weights = chart.start()
        images, labels = batch(network, 16, dtype, seed=k)
        logits, grads = gradient(engine, weights, images, labels)
        here = Point(weights, images[None], logits, network, chart)
        state = move_(rule, here, grads, state, -torch.tensor(lrs, dtype=dtype))
        seen.append(network.forward(weights, images))
    return torch.stack(seen), weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize(
    "space", [WeightSpace(), GSpace("maxprod", fix="keep"), CycleSpace()], ids=lambda s: type(s).__name__
)
def test_powers_of_two_change_no_bit_of_a_trajectory(space, optimizer, dtype):
    """Once before training and before every step: in weight space too, with momentum too."""
    weights = draw(DEEP, 2, dtype)
    scales = random_scales(DEEP.graph, 2.0, True, torch.Generator().manual_seed(3), dtype)
    rescaled = rescale(DEEP.graph, weights, scales)
    lines = [
        train(optimizer.transformation(), space, start, DEEP, every)[0]
        for start, every in ((weights, False), (rescaled, False), (weights, True))
    ]
    assert lines[0].isfinite().all()
    assert not torch.equal(lines[0][0], lines[0][-1])
    assert torch.equal(lines[0], lines[1])
    assert torch.equal(lines[0], lines[2])


def test_momentum_in_the_weights_breaks_what_momentum_in_the_metric_keeps():
    """The negative control: a buffer of directions does not survive a rescaling between two steps."""
    weights = draw(DEEP, 2)
    rule = chain(PathSGD().rule(), weight_momentum(0.9))
    plain, rescaled = (train(rule, WeightSpace(), weights, DEEP, every)[0] for every in (False, True))
    assert not torch.allclose(plain, rescaled, rtol=1e-3)


def test_with_a_constant_metric_the_momentum_is_heavy_ball():
    weights = draw(TINY, 2)
    frozen = {name: kappa.clone() for name, kappa in path_curvature(TINY, weights).items()}

    def divide(grads, state, point):
        return {name: g / frozen[name] for name, g in grads.items()}, state

    heavy = chain(GradientTransformation(lambda coords: {}, divide), weight_momentum(0.9))
    own = steepest(lambda point, state: {n: k.clone() for n, k in frozen.items()}, 0.9, lambda coords: {})
    assert_close(train(own, WeightSpace(), weights)[1], train(heavy, WeightSpace(), weights)[1], 1e-12)


@pytest.mark.parametrize("space", [*INVARIANT.values(), FixedWeightSpace(fix="keep"), WeightSpace()], ids=repr)
def test_the_metric_of_the_coordinates_is_the_diagonal_of_the_pulled_back_metric(space):
    """``J^T diag(kappa) J`` with the dense Jacobian J of the weights by the coordinates, on free coordinates."""
    weights = draw(TINY, 1)
    chart = space.chart(TINY.graph, weights)
    weights = chart.start()
    kappa = path_curvature(TINY, weights)
    origin = chart.origin
    jacobian = torch.autograd.functional.jacobian(
        lambda v: flat(chart.to_weights(unflat(v, origin))), flat(origin), vectorize=True
    )
    wanted = (flat(kappa)[:, None] * jacobian.square()).sum(0)
    found = flat(chart.pullback_metric(chart.begin(weights), kappa))
    fixed = flat(
        {name: chart.fixed().get(name, torch.zeros(1)).expand_as(w[:1]).clone() for name, w in weights.items()}
    )
    torch.testing.assert_close(found[fixed == 0], wanted[fixed == 0], rtol=1e-10, atol=0)


def test_alphas_are_an_axis_of_a_stack():
    weights, alphas = draw(TINY, 3), torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    for moment in MOMENTS:
        stacked = DDPSGD(alpha=alphas, moment=moment, probes=0, momentum=0.5)
        _, together = train(stacked.transformation(), WeightSpace(), weights, lrs=[1e-3] * 3)
        for i, alpha in enumerate(alphas.tolist()):
            one = {name: w[i : i + 1] for name, w in weights.items()}
            single = replace(stacked, alpha=alpha)
            _, alone = train(single.transformation(), WeightSpace(), one, lrs=[1e-3])
            assert_close(member(together, i), member(alone, 0), 1e-9)


def test_what_the_complexity_does_not_depend_on_is_not_moved():
    """The variance of an output does not depend on its bias."""
    weights = draw(TINY, 2)
    _, moved = train(DDPSGD(alpha=1.0).transformation(), WeightSpace(), weights)
    assert torch.equal(moved["6.bias"], weights["6.bias"])
    assert not torch.equal(moved["4.bias"], weights["4.bias"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DDPSGD(alpha=1.5), "alpha must be from 0 to 1"),
        (lambda: DDPSGD(alpha=torch.tensor([0.5, float("nan")])), "alpha must be from 0 to 1"),
        (lambda: DDPSGD(moment="variance"), "moment must be one of covariance, second_moment"),
        (lambda: DDPSGD(probes=-1), "probes must be"),
        (lambda: NaturalGradient(likelihood="poisson"), "likelihood must be one of gaussian, softmax"),
        (lambda: NaturalGradient(damping=-1.0), "damping must be at least 0"),
    ],
)
def test_impossible_options_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
