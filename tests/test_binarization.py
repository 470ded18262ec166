"""Promise: trained models are binarized in place, pruned, refined where they are unsure, and rescaled to be quiet."""

from copy import deepcopy

import pytest
import torch
from torch import nn

import scaleinv
from scaleinv.binarization import attend, binarize, prune, quiet_gauge
from scaleinv.gauges import fold_batch_norm
from scaleinv.minima.models import reestimate
from scaleinv.numbers._sampling import sample, variance
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.trace import describe, read_weights

IMAGES = torch.randn(40, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def make(norm=True, trained=True):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = nn.Sequential(
            nn.Conv2d(1, 5, 3, padding=1),
            nn.BatchNorm2d(5) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(5, 6, 3, padding=1),
            nn.BatchNorm2d(6) if norm else nn.Identity(),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 4),
        ).double()
        if trained:
            for part in made:
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.weight, 0.5, 2)
                    nn.init.normal_(part.bias, 0, 0.3)
            reestimate(made, IMAGES)
        return made.eval()


@pytest.fixture(scope="module")
def model():
    return make()


def mean(module, images, draws):
    return torch.stack([module(images) for _ in range(draws)]).mean(0)


@pytest.mark.parametrize(("noise", "fold"), [("shared", True), ("shared", False), ("independent", False)])
def test_many_samples_are_the_model(model, noise, fold):
    """Within what 2^20 samples and 16 bits leave; one sample is far away, and other outputs come with every call."""
    wanted = model(IMAGES)
    near = binarize(model, IMAGES, 2**20, noise=noise, fold=fold)(IMAGES)
    assert (near - wanted).abs().max() < 0.02
    coarse = binarize(model, IMAGES, 1, noise=noise, fold=fold)
    assert (coarse(IMAGES) - wanted).abs().max() > 0.05
    assert not torch.equal(coarse(IMAGES), coarse(IMAGES))


def test_shared_noise_is_that_of_the_weights():
    """The variance of one linear layer's output, over draws, by its formula; independent draws have the same."""
    layer = nn.Linear(7, 3).double()
    x = torch.randn(1, 7, dtype=torch.float64)
    wanted = (x.square() @ variance(layer.weight.detach()).mT) / 4
    for noise in ("shared", "independent"):
        tossed = binarize(layer, x, 4, noise=noise, activation_bits=0)
        outputs = torch.stack([tossed(x) for _ in range(2000)])
        torch.testing.assert_close(outputs.var(0) / wanted, torch.ones_like(wanted), rtol=0.2, atol=0)


def test_one_bit_is_rounding_to_powers_of_two(model):
    tossed = binarize(model, IMAGES, 3, bits=1)
    assert torch.equal(tossed(IMAGES), tossed(IMAGES))
    read = tossed.read()["0.weight"]
    assert torch.equal(read.abs().log2(), read.abs().log2().round())


def test_pruning(model):
    pruned = prune(model, 0.5)
    assert float((pruned[3].weight == 0).double().mean()) == 0.5
    kept = pruned[3].weight != 0
    assert torch.equal(pruned[3].weight[kept], model[3].weight[kept])
    assert pruned[3].weight[kept].abs().min() >= model[3].weight[~kept].abs().max()
    assert not binarize(pruned, IMAGES, 2).read()["3.weight"][~kept].any()
    assert torch.equal(prune(model, 0.0)(IMAGES), model(IMAGES))


def test_attention_between_its_ends(model):
    """Coverage 0 and 1 are the two models, to the bit; costs are counted in gated additions."""
    low, high = binarize(model, IMAGES, 1), binarize(model, IMAGES, 8)
    for coverage, alone in ((0.0, low), (1.0, high)):
        low.generator.manual_seed(1)
        high.generator.manual_seed(2)
        found = attend(low, high, IMAGES, "random", coverage)
        assert found.coverage == coverage
        alone.generator.manual_seed(2)
        if coverage:
            assert torch.equal(found.outputs, alone(IMAGES))
            assert found.share == pytest.approx(9 / 8)
        else:
            assert found.share == pytest.approx((1 + 8 * 24 / (36 * 45 + 36 * 270 + 24)) / 8, rel=1e-2)
    found = attend(low, high, IMAGES)
    assert 0.2 < found.coverage < 0.8
    assert attend(low, high, IMAGES, "margin").coverage > found.coverage
    assert attend(low, high, IMAGES, "random", found.coverage).coverage == pytest.approx(found.coverage, abs=0.02)
    products = 36 * (5 * 9 + 6 * 45)
    half = attend(low, high, IMAGES, coverage=0.5)
    assert half.additions == pytest.approx(products + 24 + 8 * (products / 2 + 24))


def test_the_quiet_gauge_keeps_the_function_and_lowers_the_noise(model):
    folded = fold_batch_norm(model, IMAGES)
    quiet = quiet_gauge(folded, IMAGES)
    torch.testing.assert_close(quiet.model(IMAGES), folded(IMAGES))
    assert quiet.after < 0.9 * quiet.before
    assert ((quiet.scales >= 1) & (quiet.scales < 2)).all()
    again = quiet_gauge(quiet.model, IMAGES)
    assert again.before == pytest.approx(quiet.after)
    assert again.after == pytest.approx(quiet.after)
    network = describe(folded, IMAGES)
    moved = deepcopy(folded)
    moved.load_state_dict(balance(network.graph, read_weights(folded, network.graph)), strict=False)
    assert quiet_gauge(moved, IMAGES).after == pytest.approx(quiet.after, rel=0.1)


def test_the_cost_is_the_noise_of_the_loss():
    """Half of F times V, against the measured increase of the divergence by small noise: a linear model."""
    layer = nn.Sequential(nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 3, bias=False)).double()
    x = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = quiet_gauge(layer, x).before
    generator, n = torch.Generator().manual_seed(0), 512
    weights = {name: w.detach() for name, w in layer.named_parameters()}
    logs = layer(x).detach().log_softmax(-1)
    total = 0.0
    for _ in range(200):
        read = {name: sample(w, n, generator) for name, w in weights.items()}
        noisy = torch.func.functional_call(layer, read, x).log_softmax(-1)
        total += float((logs.exp() * (logs - noisy)).sum(-1).mean())
    assert total / 200 == pytest.approx(before / n, rel=0.15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: binarize(m, IMAGES, 0), "samples must be a whole number from 1, got 0"),
        (lambda m: binarize(m, IMAGES, bits=-1), "bits must be a whole number from 0, got -1"),
        (lambda m: binarize(m, IMAGES, noise="pink"), "noise must be one of shared, independent"),
        (lambda m: binarize(make(trained=False), IMAGES), "batch norm 1 was never trained"),
        (lambda m: prune(m, 1.5), "share must be between 0 and 1, got 1.5"),
        (
            lambda m: attend(*[binarize(m, IMAGES)] * 2, IMAGES, coverage=1.1),
            "coverage must be between 0 and 1, got 1.1",
        ),
        (lambda m: attend(*[binarize(m, IMAGES)] * 2, IMAGES, "random"), "random positions need a coverage"),
        (lambda m: attend(*[binarize(m, IMAGES)] * 2, IMAGES, "luck"), "mode must be one of entropy"),
        (lambda m: quiet_gauge(m, IMAGES, grid=0), "grid and sweeps must be at least 1"),
    ],
)
def test_bad_input_is_one_sentence(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_attention_needs_a_global_average():
    flat = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)).double()
    with pytest.raises(UnsupportedNetworkError, match="ends in a global average and one linear layer"):
        attend(binarize(flat, IMAGES), binarize(flat, IMAGES), IMAGES)


def test_they_are_named_in_the_package():
    assert scaleinv.binarize is binarize
    assert scaleinv.quiet_gauge is quiet_gauge
