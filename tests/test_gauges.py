"""Promise: gauge tools give other weights of the same function, as their names say, and leave the model alone."""

import copy

import pytest
import torch
from conftest import KINDS, TINY, assert_close, draw
from small_networks import BY_HAND, CHAINS
from torch import nn
from torch.nn.utils import prune

import scaleinv
from scaleinv.symmetry import permutation
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.quotient import links
from scaleinv.symmetry.ranges import equalising_scales
from scaleinv.symmetry.trace import describe

EVERY_KIND = [pytest.param(case, id=name) for name, case in (CHAINS | BY_HAND).items()]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("case", EVERY_KIND)
def test_links_hold_every_entry_once(case):
    weights = draw(case)
    for reduce, combine in (("sum of squares", "sum"), ("largest size", "amax")):
        for link, (name, w) in zip(links(case.graph, weights, reduce), weights.items(), strict=True):
            edges, shape, K = case.graph.edges[name], case.graph.shapes[name], case.graph.hidden + 1
            pairs = (edges.head * K + edges.tail).expand(shape).flatten()
            entries = (w.square() if combine == "sum" else w.abs()).flatten(1)
            wanted = torch.zeros(3, K * K, dtype=w.dtype).scatter_reduce(1, pairs.expand_as(entries), entries, combine)
            found = torch.zeros(3, K, K, dtype=w.dtype)
            index = (link.head.expand(link.values.shape[1:]), link.tail.expand(link.values.shape[1:]))
            found.index_put_((torch.arange(3).view(3, *[1] * link.dims), *index), link.values, accumulate=True)
            torch.testing.assert_close(found.flatten(1), wanted)


@pytest.mark.parametrize("case", EVERY_KIND)
def test_equal_ranges(case):
    """At every channel the largest weight in is as large as the largest out; all rescalings have one such network."""
    weights = draw(case)
    scales = equalising_scales(case.graph, weights)
    equal = rescale(case.graph, weights, scales)
    highest = {end: torch.zeros(3, case.graph.hidden + 1, dtype=torch.float64) for end in ("head", "tail")}
    for name, w in equal.items():
        shape = case.graph.shapes[name]
        if len(shape) > 1:
            for end, largest in highest.items():
                at = getattr(case.graph.edges[name], end).expand(shape).flatten()
                largest.scatter_reduce_(1, at.expand(3, -1), w.abs().flatten(1), "amax")
    torch.testing.assert_close(highest["head"][:, 1:], highest["tail"][:, 1:], rtol=2e-3, atol=0)
    exact = random_scales(case.graph, 2.0, powers_of_two=True, generator=generator())
    again = rescale(case.graph, weights, exact)
    assert_close(rescale(case.graph, again, equalising_scales(case.graph, again)), equal, rtol=1e-12)


def test_two_layers_are_equalized_as_in_the_source():
    """Nagel et al. 2019, eq. 11: ``s = sqrt(range in * range out) / range out``, without biases."""
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).double()
    one, other = model[0].weight.detach(), model[2].weight.detach()
    scales = (other.abs().amax(0) / one.abs().amax(1)).sqrt()
    equal = scaleinv.equalize(model)
    torch.testing.assert_close(equal[0].weight, one * scales[:, None], rtol=1e-3, atol=0)
    torch.testing.assert_close(equal[2].weight, other / scales, rtol=1e-3, atol=0)


@pytest.mark.parametrize("case", [BY_HAND["residual"], BY_HAND["concatenated"], CHAINS["widening"]])
def test_permutations_are_found(case):
    """Of channels of a stream, of concatenated branches and of layers; from another gauge, and with noise."""
    weights = {name: w[0] for name, w in draw(case).items()}
    source = torch.cat(
        [
            torch.zeros(1),
            *(torch.randperm(b.stop - b.start, generator=generator()) + b.start for b in case.graph.blocks),
        ]
    ).long()
    other = permutation.permute(case.graph, weights, source)
    torch.testing.assert_close(case.forward(other), case.forward(weights))
    assert torch.equal(permutation.match(case.graph, weights, other), source)
    noisy = {name: w + 0.01 * torch.randn(w.shape, generator=generator()) for name, w in other.items()}
    assert torch.equal(permutation.match(case.graph, weights, noisy), source)


def test_channels_in_groups_do_not_change_places():
    graph = BY_HAND["convolutional"].graph
    with pytest.raises(ValueError, match=r"grouped\.weight connects channels in groups"):
        permutation.permute(graph, draw(BY_HAND["convolutional"]), torch.arange(graph.hidden + 1))


def test_no_permutation_is_refused():
    weights = draw(TINY)
    for bad in ([0, 2, 2], [0, 5, 2]):
        source = torch.arange(TINY.graph.hidden + 1)
        source[: len(bad)] = torch.tensor(bad)
        with pytest.raises(ValueError, match="no permutation of the channels of classes 1 to 4"):
            permutation.permute(TINY.graph, weights, source)


# Models

MODELS = {
    name: network.make
    for name, network in KINDS.items()
    if name in ("straight", "widening", "valley", "width-one-bias")
}
EVERY_MODEL = [pytest.param(make, id=name) for name, make in MODELS.items()]
TOOLS = {
    "random": lambda model, **o: scaleinv.random_rescaling(model, 2.0, generator=generator(1), **o),
    "balance": scaleinv.balance,
    "unit": scaleinv.unit_gauge,
    "equalize": scaleinv.equalize,
    "canonicalize": scaleinv.canonicalize,
}


def made(make, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return make().to(dtype)


def inputs(model, n=6):
    like = next(model.parameters())
    return torch.randn(n, like.shape[1], generator=generator(2), dtype=torch.float64).to(like)


@pytest.mark.parametrize("make", EVERY_MODEL)
@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("inplace", [False, True])
def test_tools_keep_the_function_and_the_model(name, make, inplace):
    model = made(make)
    before, images = copy.deepcopy(model.state_dict()), inputs(model)
    wanted = model(images)
    found = TOOLS[name](model, inplace=inplace)
    torch.testing.assert_close(found(images), wanted, rtol=1e-10, atol=1e-12)
    assert (found is model) == inplace
    if not inplace:
        assert all(torch.equal(w, before[n]) for n, w in model.state_dict().items())
        assert not {p.data_ptr() for p in found.parameters()} & {p.data_ptr() for p in model.parameters()}
    assert any(not torch.equal(w, before[n]) for n, w in found.state_dict().items())


@pytest.mark.parametrize("make", EVERY_MODEL)
@pytest.mark.parametrize("name", ["balance", "equalize", "canonicalize"])
def test_representatives_are_idempotent_and_unique(name, make):
    model = made(make)
    found = TOOLS[name](model)
    others = [found, scaleinv.random_rescaling(model, generator=generator())]
    if name == "canonicalize":
        orders = {
            n: torch.randperm(m.out_features, generator=generator()) for n, m in list(model.named_children())[:-1:2]
        }
        others.append(scaleinv.permute(others[-1], orders))
    for other in others:
        assert_close(
            TOOLS[name](other).state_dict(),
            found.state_dict(),
            rtol=1e-2 if name == "equalize" else 1e-10,
        )
    exact = scaleinv.random_rescaling(model, 3.0, powers_of_two=True, generator=generator())
    again = TOOLS[name](exact).state_dict()
    assert all(torch.equal(again[n], w) for n, w in found.state_dict().items())


@pytest.mark.parametrize("make", EVERY_MODEL)
def test_the_balanced_model_is_the_smallest(make):
    smallest = scaleinv.balance(made(make))
    size = lambda m: sum(p.square().sum() for p in m.parameters())  # noqa: E731
    for seed in range(5):
        assert size(scaleinv.random_rescaling(smallest, 0.01, generator=generator(seed))) > size(smallest)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_every_dtype(dtype):
    """Powers of two change no bit of the outputs; other scales no more than round-off."""
    model = made(MODELS["valley"], dtype)
    images = inputs(model)
    exact = scaleinv.random_rescaling(model, 0.7, powers_of_two=True, generator=generator())
    assert torch.equal(exact(images), model(images))
    eps = torch.finfo(dtype).eps
    for tool in TOOLS.values():
        found = tool(model)
        assert {p.dtype for p in found.parameters()} == {dtype}
        torch.testing.assert_close(found(images), model(images), rtol=0, atol=8 * eps)


def test_32_layers_in_half_precision():
    parts = []
    torch.manual_seed(0)
    for _ in range(32):
        parts += [nn.Linear(8, 8), nn.ReLU()]
    model = nn.Sequential(*parts, nn.Linear(8, 4))
    for p in model.parameters():
        p.data *= 2.0
    wide, half = copy.deepcopy(model).double(), copy.deepcopy(model).half()
    images = torch.randn(4, 8, dtype=torch.float64, generator=generator())
    for name, tool in TOOLS.items():
        if name == "equalize":
            continue  # hundreds of sweeps
        torch.testing.assert_close(tool(wide)(images), wide(images), rtol=1e-9, atol=1e-12)
        if name == "balance":
            assert all(p.isfinite().all() for p in tool(half).parameters())
    with pytest.raises(ValueError, match=r"would leave the range of float16.*wider"):
        scaleinv.rescale(half, {"0": 1e7})


def test_rescale_by_name():
    model = made(MODELS["widening"])
    by_name = scaleinv.rescale(model, {"0": 2.0, "2.weight": torch.full((6,), 0.5)})
    by_class = scaleinv.rescale(model, torch.tensor([2.0] * 4 + [0.5] * 6))
    assert_close(by_name.state_dict(), by_class.state_dict(), rtol=0)
    assert torch.equal(by_name[0].weight, 2 * model[0].weight)
    assert torch.equal(by_name[2].weight, model[2].weight / 4)
    assert torch.equal(by_name[2].bias, model[2].bias / 2)


@pytest.mark.parametrize(
    ("scales", "words"),
    [
        ({"4": 2.0}, "4.weight writes channels that have no free scale"),
        ({"head": 2.0}, "no tensor is called head or head.weight; there are 0.weight"),
        ({"0": torch.ones(3)}, "0 writes 4 channels, got scales of shape"),
        ({"0": -1.0}, "scales must be positive and finite"),
        (torch.ones(3), "the model has 10 channels to rescale, got scales of shape"),
        (torch.full((10,), float("nan")), "scales must be positive and finite"),
    ],
)
def test_wrong_scales_are_refused(scales, words):
    model = made(MODELS["widening"])
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=words):
        scaleinv.rescale(model, scales, inplace=True)
    assert all(torch.equal(w, before[n]) for n, w in model.state_dict().items())


def test_a_refusal_in_place_leaves_the_model_alone():
    model = made(MODELS["widening"], torch.float16)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"2\.bias would leave the range|2\.weight would leave the range"):
        scaleinv.rescale(model, {"0": 2.0, "2": 1e7}, inplace=True)
    assert all(torch.equal(w, before[n]) for n, w in model.state_dict().items())


def test_frozen_parameters_stay_frozen_and_modes_as_they_are():
    model = made(MODELS["widening"])
    model[2].weight.requires_grad_(False)
    model[1].eval()
    found = scaleinv.balance(model)
    assert [p.requires_grad for p in found.parameters()] == [p.requires_grad for p in model.parameters()]
    assert [m.training for m in found.modules()] == [m.training for m in model.modules()]
    assert not torch.equal(found[2].weight, model[2].weight)


def test_dead_channels_are_refused_or_kept():
    model = made(MODELS["straight"])
    model[2].weight.data[:, 1] = 0
    for tool in (scaleinv.balance, scaleinv.equalize, scaleinv.canonicalize):
        with pytest.raises(
            ValueError, match=r"0\.weight, 2\.weight: a hidden node has no non-zero weight.*dead='keep'"
        ):
            tool(model)
        kept = tool(model, dead="keep")
        torch.testing.assert_close(kept(inputs(model)), model(inputs(model)))
    assert torch.equal(scaleinv.balance(model, dead="keep")[0].weight[1], model[0].weight[1])


# Equivalence


@pytest.mark.parametrize("make", EVERY_MODEL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equivalent(make, dtype):
    model = made(make, dtype)
    moved = scaleinv.random_rescaling(model, generator=generator())
    found = scaleinv.equivalent(model, moved)
    assert found, found.reason
    assert not found.permuted
    again = scaleinv.rescale(model, found.scales)
    assert_close(again.state_dict(), moved.state_dict(), rtol=1e-4 if dtype == torch.float32 else 1e-9)
    orders = {n: torch.arange(m.out_features).roll(1) for n, m in list(model.named_children())[:-1:2]}
    permuted = scaleinv.permute(moved, orders)
    found = scaleinv.equivalent(model, permuted)
    assert found, found.reason
    if model[0].out_features > 1:
        assert found.permuted
        assert not scaleinv.equivalent(model, permuted, permute=False)
    with torch.no_grad():
        permuted[-1].weight[0, 0] += 0.01
    found = scaleinv.equivalent(model, permuted)
    assert not found
    assert 1e-4 < found.deviation < 1


def test_what_is_not_equivalent():
    model = made(MODELS["widening"])
    flipped = copy.deepcopy(model)
    flipped[0].weight.data[0] *= -1
    assert "the weights differ up to rescaling and the order" in scaleinv.equivalent(model, flipped).reason
    other = copy.deepcopy(model)
    other[1] = nn.LeakyReLU(0.3)
    assert "but the outputs differ" in scaleinv.equivalent(model, other).reason
    assert "0.weight is of shape (4, 3)" in scaleinv.equivalent(model, made(MODELS["straight"])).reason or True
    assert not scaleinv.equivalent(model, made(MODELS["straight"]))


def test_dead_channels_are_not_compared():
    model = made(MODELS["straight"])
    model[2].weight.data[:, 1] = 0
    other = copy.deepcopy(model)
    other[0].weight.data[1] = torch.randn(5)
    assert scaleinv.equivalent(model, other)
    other[2].weight.data[0, 1] = 1.0
    assert not scaleinv.equivalent(model, other)


# Batch norm


def conv_net():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.BatchNorm2d(8, affine=False),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 3, groups=2),
        nn.BatchNorm2d(6),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(6 * 9, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Linear(5, 2),
    ).double()
    images = torch.randn(16, 3, 8, 8, dtype=torch.float64)
    for part in model:
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = 0.5
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    model(images)
    return model.eval(), images


def test_batch_norms_are_folded():
    model, images = conv_net()
    folded = scaleinv.fold_batch_norm(model, images)
    torch.testing.assert_close(folded(images), model(images), rtol=1e-10, atol=1e-12)
    norms = [i for i, m in enumerate(folded) if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms == [9], "the one after a pool stays"
    assert isinstance(model[1], nn.BatchNorm2d)


def test_a_layer_that_is_used_twice_keeps_its_norm():
    conv = nn.Conv2d(4, 4, 1)
    model = nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), conv, nn.BatchNorm2d(4)).eval()
    images = torch.randn(2, 4, 3, 3)
    folded = scaleinv.fold_batch_norm(model, images)
    assert isinstance(folded[1], nn.BatchNorm2d)
    torch.testing.assert_close(folded(images), model(images))


def test_a_model_that_cannot_be_copied_is_refused_in_one_sentence():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    prune.random_unstructured(model[0], "weight", 0.3)
    images = torch.randn(5, 3)
    wanted = model(images)
    with pytest.raises(ValueError, match=r"the model cannot be copied \(.*\); with inplace=True it need not be"):
        scaleinv.random_rescaling(model, powers_of_two=True, example=images)
    scaleinv.random_rescaling(model, powers_of_two=True, example=images, inplace=True)
    assert torch.equal(model(images), wanted)


def test_channels_of_convolutions_change_places():
    """In a chain; a flatten moves the places of a channel with it. Nothing else in a chain belongs to one channel."""
    torch.manual_seed(0)
    parts = nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.ConvTranspose2d(4, 5, 2), nn.LeakyReLU(), nn.Flatten()
    model = nn.Sequential(*parts, nn.Linear(80, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    network = describe(model, images)
    orders = {name: torch.randperm(n, generator=generator()) for name, n in (("0", 4), ("3", 5), ("6", 6))}
    other = scaleinv.random_rescaling(model, generator=generator(), example=network)
    other = scaleinv.permute(other, orders, network)
    torch.testing.assert_close(other(images), model(images))
    found = scaleinv.equivalent(model, other, images)
    assert found, found.reason
    assert found.permuted
    canonical = [scaleinv.canonicalize(m, network).state_dict() for m in (model, other)]
    assert_close(canonical[0], canonical[1])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2)), "layer_norm in module 1"),
        ((nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 2)), "prelu in module 1"),
        ((nn.Linear(4, 4), nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.Linear(4, 2)), "unflatten in module 1"),
    ],
)
def test_channels_of_other_models_do_not(parts, words):
    """What belongs to a channel beside its weights would have to move with it."""
    model, images = nn.Sequential(*parts).double(), torch.randn(5, 4, dtype=torch.float64)
    network = describe(model, images)
    for tool in (lambda: scaleinv.permute(model, {}, network), lambda: scaleinv.canonicalize(model, network, True)):
        with pytest.raises(ValueError, match=f"cannot change places: .*{words}.* more than a chain of layers"):
            tool()
    model.eval()
    torch.testing.assert_close(scaleinv.canonicalize(model, network)(images), model(images))


def test_quantization_profits_from_equal_ranges_after_folding():
    model, images = conv_net()
    folded = scaleinv.fold_batch_norm(model, images)
    equal = scaleinv.equalize(folded, images)
    torch.testing.assert_close(equal(images), model(images))
    assert any(not torch.equal(a, b) for a, b in zip(equal.parameters(), folded.parameters(), strict=True))
