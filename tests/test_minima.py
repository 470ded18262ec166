"""Promise: distances, averages and barriers between networks, with the symmetries taken out or not."""

import pytest
import torch
from conftest import TINY, assert_close, batch, draw, member
from torch import nn

import scaleinv
from scaleinv.minima import models, predictions, weights
from scaleinv.networks.mlp import mlp
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.orbit import along_orbit, balanced
from scaleinv.symmetry.permutation import permute

GRAPH = TINY.graph


def scales(sigma=2.0, seed=5, powers_of_two=True, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return random_scales(GRAPH, sigma, powers_of_two, generator, dtype)


def model(w):
    made = TINY.make().double()
    made.load_state_dict(w)
    return made


A, B = member(draw(TINY), 0), member(draw(TINY), 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distance_in_the_gauge_is_invariant_and_in_weights_it_is_not(dtype):
    a, b = ({name: w.to(dtype) for name, w in one.items()} for one in (A, B))
    moved = rescale(GRAPH, b, scales(dtype=dtype))
    assert torch.equal(*(weights.distance(TINY, a, other, "scale") for other in (b, moved)))
    plain, far = (weights.distance(TINY, a, other, "none") for other in (b, moved))
    assert far > 2 * plain
    assert plain == pytest.approx(sum((a[n].double() - b[n].double()).square().sum() for n in a).sqrt())


def test_the_average_of_one_network_in_several_gauges_is_itself():
    gauges = [rescale(GRAPH, A, scales(seed=seed)) for seed in range(2)]
    images, _ = batch(TINY)
    wanted = balance(GRAPH, A)
    found = weights.average(TINY, gauges, "scale")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    torch.testing.assert_close(TINY.forward(found, images), TINY.forward(A, images))
    plain = TINY.forward(weights.average(TINY, gauges, "none"), images)
    assert (plain / TINY.forward(A, images) - 1).abs().max() > 0.1


def test_barrier_between_gauges_of_one_network_is_gone_in_the_balanced_one():
    a, b = model(A), model(rescale(GRAPH, A, scales(sigma=3.0)))
    images, labels = batch(TINY, 32)
    flat, hill = (scaleinv.barrier(a, b, images, labels, modulo) for modulo in ("scale", "none"))
    assert len(flat.losses) == 25
    assert flat.height == pytest.approx(0, abs=1e-12)
    assert hill.height > 0.1
    torch.testing.assert_close(hill.losses[0], hill.losses[-1])


def test_a_planted_permutation_of_another_gauge_is_found_only_after_balancing():
    """Of ten nearly equal networks, permuted and rescaled: all in the balanced gauge, few in the weights."""
    network = mlp((20, 12, 12, 5))
    found = {"permutation": 0, "both": 0}
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        first = member(draw(network, seed=seed), 0)
        noisy = {n: w + 0.02 * torch.randn(w.shape, generator=generator, dtype=w.dtype) for n, w in first.items()}
        order = [torch.zeros(1, dtype=torch.long)]
        order += [b.start + torch.randperm(b.stop - b.start, generator=generator) for b in network.graph.blocks]
        moved = rescale(
            network.graph,
            permute(network.graph, noisy, torch.cat(order)),
            random_scales(network.graph, 2.0, generator=generator),
        )
        for modulo in found:
            found[modulo] += bool(weights.distance(network, first, moved, modulo) < 2)
    assert found["both"] == 10
    assert found["permutation"] < 5
    assert weights.distance(network, first, moved, "both") < 0.2 * weights.distance(network, first, moved, "scale")


def test_a_network_with_convolutions_and_batch_norm():
    """The function's own average is itself; a rescaling and a permutation are seen through."""

    def make():
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 2),
        ).double()

    a, b = make(), make()
    images, labels = torch.randn(12, 1, 4, 4, dtype=torch.float64), torch.arange(12) % 2
    models.reestimate(a, images)
    b.load_state_dict(a.state_dict())
    with torch.no_grad():
        b[3].weight.mul_(4.0)
        b[3].bias.mul_(4.0)
        b[6].weight.div_(4.0)
    assert scaleinv.distance(a, b, "none", images) > 1
    assert scaleinv.distance(a, b, "scale", images) == 0
    mean = scaleinv.average([a, b], "scale", images)
    torch.testing.assert_close(mean(images), a.eval()(images))
    assert scaleinv.barrier(a, b, images, labels, "both", 5).height == pytest.approx(0, abs=1e-9)


def test_the_orbit_is_split_off():
    """A step along the orbit is all along it; the gradient of an invariant function has no part along it."""
    w, generator = draw(TINY), torch.Generator().manual_seed(1)
    logs = torch.randn(GRAPH.hidden, generator=generator, dtype=torch.float64)
    away = {n: (v - w[n]) * 1e9 for n, v in rescale(GRAPH, w, (1e-9 * logs).exp()).items()}
    assert_close(along_orbit(GRAPH, w, away), away, rtol=1e-5)
    leaves = {name: v.clone().requires_grad_() for name, v in w.items()}
    grads = torch.autograd.grad(TINY.forward(leaves, batch(TINY)[0]).square().sum(), list(leaves.values()))
    step = dict(zip(leaves, grads, strict=True))
    assert max(float(s.abs().max()) for s in along_orbit(GRAPH, w, step).values()) < 1e-10
    noise = {n: torch.randn(v.shape, generator=generator, dtype=torch.float64) for n, v in w.items()}
    once = along_orbit(GRAPH, w, noise)
    assert_close(along_orbit(GRAPH, w, once), once, rtol=1e-9)


def test_derivative_of_the_balanced_gauge():
    """Against central differences, from a network that is far from balanced."""
    w = {n: v[None] for n, v in rescale(GRAPH, A, scales(1.0)).items()}
    assert all(torch.equal(balanced(GRAPH, w)[n], balance(GRAPH, w)[n]) for n in w)
    generator = torch.Generator().manual_seed(3)
    target, step = (
        {n: torch.randn(v.shape, generator=generator, dtype=torch.float64) for n, v in w.items()} for _ in range(2)
    )

    def value(at):
        return sum((target[n] * v).sum() for n, v in balanced(GRAPH, at).items())

    leaves = {n: v.clone().requires_grad_() for n, v in w.items()}
    grads = torch.autograd.grad(value(leaves), list(leaves.values()))
    found = sum((g * step[n]).sum() for n, g in zip(leaves, grads, strict=True))
    up, down = (value({n: v + s * 1e-6 * step[n] for n, v in w.items()}) for s in (1, -1))
    torch.testing.assert_close(found, (up - down) / 2e-6, rtol=1e-6, atol=1e-6)


def test_predictions_by_hand():
    p = torch.tensor([[[0.8, 0.2], [0.4, 0.6]], [[0.6, 0.4], [0.9, 0.1]]], dtype=torch.float64)
    scores = predictions.score(p, torch.tensor([0, 1]))
    assert scores.accuracy == 0.5
    assert scores.nll == pytest.approx(-(torch.tensor([0.7, 0.35]).log().mean().item()))
    assert scores.brier == pytest.approx((2 * 0.3**2 + 2 * 0.65**2) / 2)
    assert scores.ece == pytest.approx(((1 - 0.7) + 0.65) / 2)  # 0.7 and 0.65 are in bins of their own
    assert (scores.disagreement, scores.member_accuracy) == (0.5, 0.75)
    assert scores.diversity == 2
    js = predictions.js_divergence(p[0], p[1])
    assert float(js) == pytest.approx(scores.mutual_information)
    assert predictions.score(p[:1], torch.tensor([0, 1])).diversity == 0
    one, other = torch.eye(2, dtype=torch.float64)
    assert float(predictions.js_divergence(one[None], other[None])) == pytest.approx(torch.tensor(2.0).log().item())


def test_functions_of_models():
    a, b = model(A), model(B)
    images, _ = batch(TINY, 64)
    assert scaleinv.distance(a, b, "none") == pytest.approx(float(weights.distance(TINY, A, B, "none")))
    for measure in (scaleinv.disagreement, scaleinv.js_divergence):
        assert measure(a, a, images) == 0
        assert measure(a, b, images) == measure(b, a, images) > 0
    assert scaleinv.cka(a, a, images) == pytest.approx(1)
    assert 0 < scaleinv.cka(a, b, images) < 1
    moved = model(rescale(GRAPH, A, scales()))
    assert scaleinv.cka(a, moved, images) == pytest.approx(1)
    assert scaleinv.cka(a, moved, images, layer="2") < 0.999  # hidden features depend on the gauge
    assert scaleinv.disagreement(a, moved, images) == 0


def test_batch_norm_is_estimated_again():
    """As PyTorch's own function does it."""
    from torch.optim.swa_utils import update_bn

    nets = [nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    images, _ = batch(TINY, 50, torch.float32)
    models.reestimate(nets[0], images, 20)
    update_bn(images.split(20), nets[1])
    for found, wanted in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b, x, y: scaleinv.distance(a, b, "gauge"), "modulo must be one of none, scale"),
        (lambda a, b, x, y: scaleinv.average([]), "the list of networks is empty"),
        (lambda a, b, x, y: scaleinv.barrier(a, b, x, y, points=1), "at least its two ends"),
        (lambda a, b, x, y: predictions.score(torch.empty(0, 3, 2), y), "at least one network"),
        (lambda a, b, x, y: scaleinv.cka(a, b, x, layer="seven"), "no module 'seven'"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    images, labels = batch(TINY)
    with pytest.raises(ValueError, match=message):
        call(model(A), model(B), images, labels)


def test_another_architecture_is_refused():
    with pytest.raises(UnsupportedNetworkError, match=r"different architectures: 0.weight has the shape \(4, 5\)"):
        scaleinv.distance(model(A), nn.Sequential(nn.Linear(5, 3)))
    first, other = (nn.Sequential(nn.Linear(2, 3), part, nn.Linear(3, 2)) for part in (nn.ReLU(), nn.LeakyReLU()))
    with pytest.raises(UnsupportedNetworkError, match="their parts differ when printed"):
        scaleinv.distance(first, other)
