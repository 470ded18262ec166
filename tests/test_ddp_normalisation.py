"""Promise: DDP-normalised layers give every node complexity 1, are batch norm at one end, and keep theorem 1."""

import pytest
import torch
from torch import nn

from scaleinv.networks.ddp_mlp import DDPMLP, DDPLinear
from scaleinv.optim.path_sgd import PathSGD
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.symmetry.complexity import COVARIANCE, MOMENTS, SECOND_MOMENT
from scaleinv.symmetry.network import UnsupportedNetworkError

CHOICES = [(alpha, moment) for alpha in (0.0, 0.4, 1.0) for moment in MOMENTS]


def images(n=12, seed=0):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(alpha, moment, **options):
    torch.manual_seed(1)
    return DDPLinear(5, 4, alpha, moment, **options).double()


def test_alpha_one_of_the_covariance_is_batch_norm_without_affine_parameters():
    """Outputs, gradients and running statistics, in training and in evaluation mode."""
    layer = made(1.0, COVARIANCE)
    plain = nn.Sequential(nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, affine=False)).double()
    plain[0].weight.data.copy_(layer.weight)
    for k in range(3):
        x = images(seed=k)
        ours, batch_norm = layer(x), plain(x)
        torch.testing.assert_close(ours, batch_norm, rtol=1e-12, atol=1e-12)
        grads = [
            torch.autograd.grad(z.sin().sum(), w)[0] for z, w in ((ours, layer.weight), (batch_norm, plain[0].weight))
        ]
        torch.testing.assert_close(*grads, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(layer.running_mean, plain[1].running_mean, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(layer.running_spread, plain[1].running_var, rtol=1e-13, atol=0)
    torch.testing.assert_close(layer.eval()(x), plain.eval()(x), rtol=1e-12, atol=1e-12)


def test_alpha_zero_gives_every_node_weights_of_norm_one():
    layer = made(0.0, SECOND_MOMENT, eps=0.0)
    wanted = images() @ nn.functional.normalize(layer.weight, dim=1).T
    torch.testing.assert_close(layer(images()), wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("alpha", "moment"), CHOICES)
def test_every_node_has_complexity_one(alpha, moment):
    """``alpha S(z) + (1 - alpha) sum_u gamma_u^2 w_u^2`` of the weights ``w / gamma`` that the layer works with."""
    layer, x = made(alpha, moment, eps=0.0), images()
    z = layer(x)
    h = x - x.mean(0) if moment == COVARIANCE else x
    effective = torch.linalg.lstsq(h, z).solution
    complexity = alpha * z.square().mean(0) + (1 - alpha) * effective.square().sum(0)
    torch.testing.assert_close(complexity, torch.ones(4, dtype=torch.float64), rtol=1e-11, atol=0)


@pytest.mark.parametrize(("alpha", "moment"), CHOICES)
def test_gradients_are_orthogonal_to_the_weights_of_every_node(alpha, moment):
    """Theorem 1, node by node; the last layer is not normalised, and there it does not hold."""
    torch.manual_seed(2)
    network = nn.Sequential(
        *(DDPLinear(5, 6, alpha, moment, eps=0.0), nn.ReLU(), DDPLinear(6, 4, alpha, moment, eps=0.0), nn.ReLU()),
        nn.Linear(4, 3),
    ).double()
    nn.functional.cross_entropy(network(images()), torch.arange(12) % 3).backward()
    for layer in (network[0], network[2]):
        inner = (layer.weight * layer.weight.grad).sum(1)
        sizes = layer.weight.norm(dim=1) * layer.weight.grad.norm(dim=1)
        assert (sizes > 1e-4).all()
        assert (inner.abs() <= 1e-14 * sizes.max()).all()
    assert ((network[4].weight * network[4].weight.grad).sum(1).abs() > 1e-6).any()


@pytest.mark.parametrize(("alpha", "moment"), CHOICES)
def test_sgd_on_it_does_depend_on_a_rescaling_that_keeps_the_function(alpha, moment):
    """Their section 6.2: the layer divides the size of a node's weights out, a step does not."""
    layers = [made(alpha, moment, eps=0.0) for _ in range(2)]
    layers[1].weight.data[2] *= 4.0
    after = []
    for layer in layers:
        z = layer(images())
        after.append([z.detach().clone()])
        z.sin().sum().backward()
        layer.weight.data -= 0.1 * layer.weight.grad
        after[-1].append(layer(images()).detach())
    assert torch.equal(after[0][0], after[1][0])
    assert not torch.allclose(after[0][1][:, 2], after[1][1][:, 2], rtol=1e-2)
    assert torch.equal(after[0][1][:, :2], after[1][1][:, :2])


def test_a_run_trains_it_and_evaluates_by_running_statistics(tmp_path):
    options = ["network=ddp_mlp", "network.hidden=[8,8]", "optimizer.lr=[0.5,0.1]", "epochs=3", "seeds=2"]
    config = compose([*options, "progress=false", f"results={tmp_path}"])
    run(config)
    table = load_records(config.folder)
    last = table[table["epoch"] == 3]
    assert (last["val_accuracy"] > 0.3).all()
    assert len(last) == 4


def test_spaces_and_path_metrics_refuse_it(tmp_path):
    network = DDPMLP([4], 0.5).network((6,), 3)
    with pytest.raises(UnsupportedNetworkError, match="combines weights"):
        PathSGD().check(network)
    with pytest.raises(ConfigError, match="no hidden node"):
        run(compose(["network=ddp_mlp", "space=cycle", f"results={tmp_path}"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": -0.1}, "alpha must be"),
        ({"moment": "mean"}, "moment must be"),
        ({"eps": -1.0}, "eps must be"),
        ({"hidden": []}, "hidden nodes"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DDPMLP(**{"hidden": [3], **options})
