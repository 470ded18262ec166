"""Promise: SAM and ASAM are as published in weight space, and invariant in an invariant chart."""

import pytest
import torch
from conftest import TINY, assert_close, batch, draw, gradient
from torch import nn

from scaleinv.networks.mlp import mlp
from scaleinv.optim.base import Point
from scaleinv.optim.sam import SAM
from scaleinv.runs.config import compose
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import CycleSpace, GSpace, WeightSpace
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.training.chain import ChainEngine
from scaleinv.training.stack import move_

LRS = [0.1, 0.01]


def train(optimizer, space, weights, every_step=False, steps=6):
    dtype = weights["0.weight"].dtype
    chart, engine, second = space.chart(TINY.graph, weights), ChainEngine(TINY), ChainEngine(TINY)
    weights, rule = chart.start(), optimizer.transformation()
    state, generator = rule.init(weights), torch.Generator().manual_seed(5)
    for k in range(steps):
        if every_step:
            scales = random_scales(TINY.graph, 2.0, True, generator, dtype)
            chart = chart.at(rescale(TINY.graph, weights, scales))
            weights = chart.start()
        images, labels = batch(TINY, 16, dtype, seed=k)
        logits, grads = gradient(engine, weights, images, labels)
        elsewhere = lambda w, images=images, labels=labels: gradient(second, w, images, labels)[1].whole(w)  # noqa: E731
        point = Point(weights, images[None], logits, TINY, chart, gradient=elsewhere)
        state = move_(rule, point, grads, state, -torch.tensor(LRS, dtype=dtype))
    return weights


def published(weights, lr, rho, eta, momentum, steps=6):
    """The loop of the public codes, on one network: climb, differentiate, come back, step."""
    parameters = {name: nn.Parameter(w.clone()) for name, w in weights.items()}
    optimizer = torch.optim.SGD(parameters.values(), lr=lr, momentum=momentum)
    for k in range(steps):
        images, labels = batch(TINY, 16, seed=k)
        optimizer.zero_grad()
        nn.functional.cross_entropy(TINY.forward(parameters, images), labels).backward()
        with torch.no_grad():
            sizes = {n: torch.ones_like(p) for n, p in parameters.items()}
            sizes |= {n: p.abs() + eta for n, p in parameters.items() if eta is not None and "weight" in n}
            norm = torch.stack([(p.grad * sizes[n]).norm() for n, p in parameters.items()]).norm()
            climbs = {n: rho * sizes[n] ** 2 * p.grad / norm for n, p in parameters.items()}
            for name, p in parameters.items():
                p.add_(climbs[name])
        optimizer.zero_grad()
        nn.functional.cross_entropy(TINY.forward(parameters, images), labels).backward()
        with torch.no_grad():
            for name, p in parameters.items():
                p.sub_(climbs[name])
        optimizer.step()
    return {name: p.detach() for name, p in parameters.items()}


@pytest.mark.parametrize(("adaptive", "rho"), [(False, 0.2), (True, 0.5)], ids=["sam", "asam"])
def test_as_published_in_weight_space(adaptive, rho):
    weights = draw(TINY, 2)
    optimizer = SAM(rho=rho, adaptive=adaptive, momentum=0.9)
    moved = train(optimizer, WeightSpace(), weights)
    for i, lr in enumerate(LRS):
        own = {name: w[i] for name, w in weights.items()}
        wanted = published(own, lr, rho, 0.01 if adaptive else None, 0.9)
        assert_close({name: w[i] for name, w in moved.items()}, wanted, 1e-10)


@pytest.mark.parametrize("optimizer", [SAM(), SAM(adaptive=True, rho=0.5, momentum=0.9)], ids=["sam", "asam"])
def test_invariant_in_a_chart_only(optimizer):
    weights = draw(TINY, 2, torch.float32)
    images, _ = batch(TINY, dtype=torch.float32)
    invariant_g = GSpace("maxprod", fix="keep", normalise="balanced")
    for space, is_invariant in ((CycleSpace(), True), (invariant_g, True), (WeightSpace(), False)):
        plain, rescaled = (TINY.forward(train(optimizer, space, weights, every), images) for every in (False, True))
        assert torch.equal(plain, rescaled) == is_invariant


def test_radius_zero_is_sgd_and_a_training_without_a_second_gradient_is_refused():
    weights = draw(TINY, 2)
    zero, small = (train(SAM(rho=rho), WeightSpace(), weights) for rho in (0.0, 0.1))
    point = Point(weights, torch.empty(0), torch.empty(0), TINY, WeightSpace().chart(TINY.graph, weights))
    rule = SAM().transformation()
    with pytest.raises(ValueError, match="needs a second gradient"):
        rule.update({n: w.clone() for n, w in weights.items()}, rule.init(weights), point)
    assert not torch.allclose(zero["0.weight"], small["0.weight"], rtol=1e-4)


def test_a_run_trains_with_radii_as_an_axis(tmp_path):
    options = ["optimizer=sam", "optimizer.rho=[0,0.1]", "network.hidden=[8]", "epochs=1", "dtype=float64"]
    tables = []
    for optimizer in (options, ["optimizer=sgd", *options[2:]]):
        config = compose([*optimizer, "optimizer.lr=0.1", "progress=false", f"results={tmp_path}"])
        run(config)
        tables.append(load_records(config.folder))
    both, plain = (table[table["epoch"] == 1] for table in tables)
    assert both.loc[both["optimizer.rho"] == 0, "val_loss"].item() == pytest.approx(plain["val_loss"].item(), rel=1e-9)
    assert both["val_loss"].nunique() == 2
    assert mlp((64, 8, 10)).graph.hidden == 8


@pytest.mark.parametrize("options", [{"rho": -0.1}, {"eta": float("nan")}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="must be at least 0"):
        SAM(**options)
