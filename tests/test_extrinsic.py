"""Promise: the extrinsic projection and layer obey their lemmas, in the corrected forms; the boards are boards."""

import pytest
import torch
from torch import nn

from scaleinv.extrinsic import ExtrinsicLayer, board, condition_numbers, points, project, stripes
from scaleinv.symmetry.network import UnsupportedNetworkError


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(inputs, outputs, seed=0):
    made = nn.Linear(inputs, outputs).double()
    made.load_state_dict({"weight": random(outputs, inputs, seed=seed), "bias": 0.5 * random(outputs, seed=seed + 1)})
    return made


def parts(made):
    """W and b for row vectors, and the pseudo-inverse of W."""
    w = made.weight.detach().mT
    return w, made.bias.detach(), torch.linalg.pinv(w)


def test_lemma_3_nothing_is_lost_where_filters_are_independent():
    """Y V + c = x' (W V) + (b V + c) for all points, whatever the ReLU did to them."""
    first, (v, c) = layer(5, 3), (random(3, 4, seed=5), random(4, seed=6))
    x = random(200, 5, seed=7)
    (placed,) = project(nn.Sequential(first), x)
    w, b, _ = parts(first)
    y = torch.relu(first(x)).detach()
    torch.testing.assert_close(placed @ (w @ v) + (b @ v + c), y @ v + c)


def test_lemma_1_needs_the_bias_of_its_own_proof():
    """On the identity cell c' = b V + c; the printed c' = c is wrong."""
    first, (v, c) = layer(3, 5), (random(5, 4, seed=5), random(4, seed=6))
    w, b, _ = parts(first)
    x = random(20000, 3, seed=7) * 3
    x = x[(first(x) > 0).all(1)]
    assert len(x) > 3
    (placed,) = project(nn.Sequential(first), x)
    torch.testing.assert_close(placed, x)  # full row rank: the identity cell stays where it is
    y = torch.relu(first(x)).detach()
    torch.testing.assert_close(placed @ (w @ v) + (b @ v + c), y @ v + c)
    assert (placed @ (w @ v) + c - (y @ v + c)).abs().min() > 0.01


def test_lemma_2_both_cells_where_the_bias_is_in_the_row_space():
    first, (v, c) = layer(3, 5), (random(5, 4, seed=5), random(4, seed=6))
    w = parts(first)[0]
    with torch.no_grad():
        first.bias.copy_(random(1, 3, seed=9)[0] @ w)
    w, b, inverse = parts(first)
    x = random(200000, 3, seed=7) * 3
    z = first(x)
    for cell in ((z > 0).all(1), (z <= 0).all(1)):
        here = x[cell]
        assert len(here) > 3
        (placed,) = project(nn.Sequential(first), here)
        y = torch.relu(first(here)).detach()
        torch.testing.assert_close(placed @ (w @ v) + (b @ inverse @ w @ v + c), y @ v + c)


def test_without_full_row_rank_the_identity_cell_moves():
    first = layer(5, 3)
    x = random(2000, 5, seed=7)
    x = x[(first(x) > 0).all(1)]
    (placed,) = project(nn.Sequential(first), x)
    assert (placed - x).norm(dim=1).median() > 0.1


def test_an_invertible_layer_without_bias_is_idempotent():
    first = layer(3, 3)
    with torch.no_grad():
        first.bias.zero_()
    x = random(50, 3, seed=7)
    (once,) = project(nn.Sequential(first), x)
    (twice,) = project(nn.Sequential(first), once)
    torch.testing.assert_close(twice, once)
    assert (once - x).abs().max() > 0.1


@pytest.mark.parametrize("filters", [3, 8])
def test_rescaling_filters_changes_nothing_where_they_are_independent(filters):
    first = layer(5, filters)
    x = random(50, 5, seed=7)
    (before,) = project(nn.Sequential(first), x)
    scales = random(filters, seed=8).exp()
    with torch.no_grad():
        first.weight.mul_(scales[:, None])
        first.bias.mul_(scales)
    (after,) = project(nn.Sequential(first), x)
    assert torch.allclose(before, after) == (filters <= 5)


def test_several_layers_and_their_condition():
    model = nn.Sequential(layer(4, 3), nn.ReLU(), layer(3, 2, seed=4))
    x = random(20, 4, seed=7)
    first, second = project(model, x)
    w1, b1, i1 = parts(model[0])
    _, b2, i2 = parts(model[2])
    y = torch.relu(model[2](torch.relu(model[0](x)))).detach()
    torch.testing.assert_close(second, ((y - b2) @ i2 - b1) @ i1)
    torch.testing.assert_close(first @ w1 + b1, torch.relu(model[0](x)).detach())
    assert all(number >= 1 for number in condition_numbers(model))
    with pytest.raises(UnsupportedNetworkError, match="the model has Tanh"):
        project(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), x)


def extrinsic(homogeneous=True):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = ExtrinsicLayer(2, 7, homogeneous).double()
    with torch.no_grad():
        made.inner.copy_(random(7, seed=2))
        made.outer.copy_(random(2 + homogeneous, seed=3))
    return made


@pytest.mark.parametrize("homogeneous", [True, False])
def test_the_layer_is_its_definition(homogeneous):
    made, x = extrinsic(homogeneous), random(40, 2, seed=4)
    long = torch.cat([x, torch.ones(40, 1, dtype=torch.float64)], 1) if homogeneous else x
    active = torch.diag_embed((long @ made.weight > 0).double())
    moved = long[:, None] @ made.weight @ (active - torch.eye(7)) @ torch.diag(made.inner) @ made.weight.mT
    wanted = long + (moved @ torch.diag(made.outer))[:, 0]
    torch.testing.assert_close(made(x), wanted)
    for scale in (made.inner, made.outer):
        kept = scale.detach().clone()
        with torch.no_grad():
            scale.zero_()
        assert torch.equal(made(x), long)
        with torch.no_grad():
            scale.copy_(kept)
    still = (long @ made.weight > 0).all(1)
    assert torch.equal(made(x)[still], long[still])


def test_the_layer_is_homogeneous_and_has_a_rescaling_of_its_own():
    made, x = extrinsic(False), random(40, 2, seed=4)
    torch.testing.assert_close(made(3 * x), 3 * made(x))
    before = made(x)
    with torch.no_grad():
        made.weight.mul_(torch.tensor(2.0) ** torch.arange(7))
        made.inner.div_(torch.tensor(4.0) ** torch.arange(7))
    torch.testing.assert_close(made(x), before)


def train(start, lr=0.1, steps=30):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [ExtrinsicLayer(2 + i, 100, True, start) for i in range(3)]
        model = nn.Sequential(*layers, nn.Linear(5, 4))
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr)
    loss = torch.tensor(0.0)
    for _ in range(steps):
        x = points(250, generator)
        loss = nn.functional.cross_entropy(model(x), board(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_the_stable_start_trains_and_the_naive_one_diverges():
    """The claim of inherent stability without normalisation holds for one start only."""
    assert train("stable", steps=300) < 1.2  # chance is log 4 = 1.39
    assert not train("naive") < 10


def test_the_board_has_fields_and_the_printed_formula_stripes():
    x = points(20000, torch.Generator().manual_seed(0))
    assert x.abs().max() <= 3**0.5
    for labels in (board(x), stripes(x)):
        assert labels.unique().tolist() == [0, 1, 2, 3]
    corner = torch.tensor([[-1.5, -1.5], [-1.5, -0.5], [-0.5, -1.5], [1.5, 1.5]])
    assert board(corner).tolist() == [0, 1, 1, 2]
    moved = x + torch.tensor([0.3, -0.3])  # along a stripe
    assert (stripes(moved) == stripes(x)).double().mean() > 0.999
    assert (board(moved.clamp(-1.7, 1.7)) == board(x)).double().mean() < 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ExtrinsicLayer(2, 0), "a layer needs inputs and filters, got 2 and 0"),
        (lambda: ExtrinsicLayer(2, 3, start="cold"), "start must be one of stable, naive"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
