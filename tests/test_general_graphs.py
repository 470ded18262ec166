"""Promise: the laws of the spaces need a graph, not a chain: convolutions, groups, flattening, streams, concatenation.

The graphs and the functions are written by hand here, so neither can be wrong in the way of the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from conftest import INVARIANT, SPACES, assert_close, draw, member
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from scaleinv.optim import SGD, Adam
from scaleinv.spaces import CycleSpace, FixedWeightSpace, WeightSpace
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.graph import Block, Edges, Graph
from scaleinv.symmetry.group import random_scales, reparametrize, rescale
from scaleinv.symmetry.skeleton import CHOICES, choose

ENDS = "head", "tail"


@dataclass(frozen=True)
class Case:
    """A graph, and the function of one member that it describes."""

    graph: Graph
    images: Tensor
    function: Callable[[dict[str, Tensor], Tensor], Tensor]

    def forward(self, weights: dict[str, Tensor]) -> Tensor:
        """Compute the outputs of a stack, or of one member."""
        single = lambda w: self.function(w, self.images.to(next(iter(w.values())).dtype))  # noqa: E731
        return torch.vmap(single)(weights) if self.graph.members(weights) else single(weights)

    def gradients(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Differentiate the sum of the squared outputs, member by member."""
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        grads = torch.autograd.grad(self.forward(leaves).square().mean((-1, -2)).sum(), list(leaves.values()))
        return dict(zip(leaves, grads, strict=True))


def images(*shape: int) -> Tensor:
    return torch.randn(6, *shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def classes(first: int, number: int) -> Tensor:
    return torch.arange(first, first + number)


ANCHOR = torch.zeros(1, dtype=torch.long)


def dense(head: Tensor, tail: Tensor) -> Edges:
    """Edges of a matrix."""
    return Edges(head[:, None], tail[None])


def convolutional() -> Case:
    """A convolution with bias, a pool, a grouped convolution, and two linear layers behind a flatten."""
    first, second, third = classes(1, 4), classes(5, 4), classes(9, 5)
    of_group = first.view(2, 1, 2).expand(2, 2, 2).reshape(4, 2)
    graph = Graph(
        {
            **{"conv.weight": (4, 2, 3, 3), "conv.bias": (4,), "grouped.weight": (4, 2, 3, 3)},
            **{"linear.weight": (5, 36), "linear.bias": (5,), "head.weight": (3, 5)},
        },
        {
            "conv.weight": Edges(first.view(4, 1, 1, 1), torch.zeros(1, 2, 1, 1, dtype=torch.long)),
            "conv.bias": Edges(first, ANCHOR),
            "grouped.weight": Edges(second.view(4, 1, 1, 1), of_group.view(4, 2, 1, 1)),
            "linear.weight": dense(third, second.repeat_interleave(9)),
            "linear.bias": Edges(third, ANCHOR),
            "head.weight": dense(torch.zeros(3, dtype=torch.long), third),
        },
        (Block(1, 5), Block(5, 9), Block(9, 14)),
    )

    def function(w: dict[str, Tensor], x: Tensor) -> Tensor:
        x = max_pool2d(conv2d(x, w["conv.weight"], w["conv.bias"], padding=1).relu(), 2)
        x = conv2d(x, w["grouped.weight"], padding=1, groups=2).relu().flatten(1)
        return (x @ w["linear.weight"].T + w["linear.bias"]).relu() @ w["head.weight"].T

    return Case(graph, images(2, 6, 6), function)


def residual() -> Case:
    """A stream that a stem and two inner layers write and that two inner layers and the head read."""
    inner, narrow, stream = classes(1, 6), classes(7, 3), classes(10, 4)
    graph = Graph(
        {
            **{"head.weight": (3, 4), "head.bias": (3,), "stem.bias": (4,), "stem.weight": (4, 5)},
            **{"in1.weight": (6, 4), "in1.bias": (6,), "out1.weight": (4, 6), "out1.bias": (4,)},
            **{"in2.weight": (3, 4), "out2.weight": (4, 3)},
        },
        {
            "head.weight": dense(torch.zeros(3, dtype=torch.long), stream),
            "head.bias": Edges(torch.zeros(3, dtype=torch.long), ANCHOR),
            "stem.bias": Edges(stream, ANCHOR),
            "stem.weight": dense(stream, torch.zeros(5, dtype=torch.long)),
            "in1.weight": dense(inner, stream),
            "in1.bias": Edges(inner, ANCHOR),
            "out1.weight": dense(stream, inner),
            "out1.bias": Edges(stream, ANCHOR),
            "in2.weight": dense(narrow, stream),
            "out2.weight": dense(stream, narrow),
        },
        (Block(1, 7), Block(7, 10), Block(10, 14)),
    )

    def function(w: dict[str, Tensor], x: Tensor) -> Tensor:
        x = x @ w["stem.weight"].T + w["stem.bias"]
        x = x + (x @ w["in1.weight"].T + w["in1.bias"]).relu() @ w["out1.weight"].T + w["out1.bias"]
        x = x + (x.relu() @ w["in2.weight"].T).relu() @ w["out2.weight"].T
        return x @ w["head.weight"].T + w["head.bias"]

    return Case(graph, images(5), function)


def concatenated() -> Case:
    """Two branches of different widths that one tensor reads, the second with the inputs' padding beside them."""
    left, right, last = classes(1, 3), classes(4, 2), classes(6, 4)
    read = torch.cat([left, torch.zeros(5, dtype=torch.long), right])
    graph = Graph(
        {"left.weight": (3, 5), "right.weight": (2, 5), "both.weight": (4, 10), "head.weight": (2, 4)},
        {
            "left.weight": dense(left, torch.zeros(5, dtype=torch.long)),
            "right.weight": dense(right, torch.zeros(5, dtype=torch.long)),
            "both.weight": dense(last, read),
            "head.weight": dense(torch.zeros(2, dtype=torch.long), last),
        },
        (Block(1, 4), Block(4, 6), Block(6, 10)),
    )

    def function(w: dict[str, Tensor], x: Tensor) -> Tensor:
        both = torch.cat([(x @ w["left.weight"].T).relu(), x, (x @ w["right.weight"].T).relu()], -1)
        return (both @ w["both.weight"].T).relu() @ w["head.weight"].T

    return Case(graph, images(5), function)


CASES = [pytest.param(make(), id=make.__name__) for make in (convolutional, residual, concatenated)]
STEP = torch.tensor([-1e-2, -1e-3, 1e-3], dtype=torch.float64)


def assert_same_function(case: Case, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    torch.testing.assert_close(case.forward(found), case.forward(wanted), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("space", SPACES)
class TestLaws:
    def test_function_is_kept(self, space, case):
        weights = draw(case)
        started = space.chart(case.graph, weights).start()
        if getattr(space, "fix", "keep") == "overwrite":
            assert not torch.allclose(case.forward(started), case.forward(weights))
        else:
            assert_same_function(case, started, weights)

    def test_round_trip(self, space, case):
        chart = space.chart(case.graph, draw(case))
        weights = chart.to_weights(chart.origin)
        assert_close(weights, chart.weights)
        assert_close(chart.to_coords(weights), chart.origin)

    def test_pullback_is_autograd_and_retract_a_step(self, space, case):
        chart = space.chart(case.graph, draw(case))
        leaves = {name: c.clone().requires_grad_() for name, c in chart.origin.items()}
        at = chart.to_weights(leaves)
        weights = {name: w.detach() for name, w in at.items()}
        grads = case.gradients(weights)
        wanted = torch.autograd.grad(sum((at[n] * grads[n]).sum() for n in at), list(leaves.values()))
        pulled = chart.pullback(weights, grads)
        assert_close(pulled, dict(zip(leaves, wanted, strict=True)), rtol=1e-9)
        moved = {n: c + STEP.view(-1, *[1] * (c.dim() - 1)) * pulled[n] for n, c in chart.origin.items()}
        assert_close(chart.retract(weights, pulled, STEP), chart.to_weights(moved), rtol=1e-8)

    def test_dimension(self, space, case):
        weights = draw(case)
        chart = space.chart(case.graph, weights)
        free = {n: ~mask for n, mask in chart.fixed().items()}
        counted = sum(int(free[n].expand_as(w)[0].sum()) if n in free else w[0].numel() for n, w in weights.items())
        fixed = 0 if isinstance(space, WeightSpace) else case.graph.hidden
        assert counted == chart.dim == case.graph.parameters - fixed

    def test_stacked_equals_each_alone(self, space, case):
        weights = draw(case)
        chart = space.chart(case.graph, weights)
        start = chart.start()
        pulled = chart.pullback(start, case.gradients(start))
        for i in range(3):
            alone = space.chart(case.graph, member(weights, i))
            own = alone.start()
            assert_close(own, member(start, i))
            assert_close(alone.pullback(own, case.gradients(own)), member(pulled, i), rtol=1e-9)


def losses(space, case: Case, weights: dict[str, Tensor], optimizer, every_step: bool) -> Tensor:
    """Train for some steps, with ``every_step`` from a rescaled network each time; return the outputs on the way."""
    chart = space.chart(case.graph, weights)
    weights, rule = chart.start(), optimizer.transformation()
    state, seen = rule.init(weights), []
    generator = torch.Generator().manual_seed(7)
    for _ in range(6):
        if every_step:
            scales = random_scales(case.graph, powers_of_two=True, generator=generator)
            chart = chart.at(rescale(case.graph, weights, scales))
            weights = chart.start()
        pulled = chart.pullback(weights, case.gradients(weights))
        direction, state = rule.update(pulled, state, chart.to_coords(weights))
        weights = chart.retract(weights, direction, STEP / 10)
        seen.append(case.forward(weights))
    return torch.stack(seen)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam()], ids=["momentum", "adam"])
class TestBits:
    @pytest.mark.parametrize("name", INVARIANT)
    def test_rescaling_changes_not_one_bit(self, name, optimizer, case):
        weights = draw(case)
        scales = random_scales(case.graph, 2.0, powers_of_two=True, generator=torch.Generator().manual_seed(5))
        once = losses(INVARIANT[name], case, weights, optimizer, False)
        assert once.isfinite().all()
        assert torch.equal(once, losses(INVARIANT[name], case, rescale(case.graph, weights, scales), optimizer, False))
        assert torch.equal(once, losses(INVARIANT[name], case, weights, optimizer, True))

    @pytest.mark.parametrize("space", [WeightSpace(), FixedWeightSpace(fix="keep")], ids=["weight", "fixed-keep"])
    def test_others_do_change(self, space, optimizer, case):
        weights = draw(case)
        scales = random_scales(case.graph, 2.0, powers_of_two=True, generator=torch.Generator().manual_seed(5))
        one, other = (losses(space, case, w, optimizer, False) for w in (weights, rescale(case.graph, weights, scales)))
        assert not torch.allclose(one[-1], other[-1], rtol=1e-3)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("choice", CHOICES)
def test_a_skeleton_is_a_tree_each_way(choice, case):
    """One entry in and one out for every class, the far ends known before; scales tell their products."""
    weights = draw(case)
    skeleton = choose(choice, case.graph, weights)
    for picks, near, far in ((skeleton.out, "tail", "head"), (skeleton.into, "head", "tail")):
        known = {0}
        for pick in picks:
            shape = case.graph.shapes[pick.name]
            ends = {end: getattr(case.graph.edges[pick.name], end).expand(shape).flatten() for end in (near, far)}
            assert torch.equal(ends[near][pick.index], pick.classes.expand_as(pick.index))
            assert torch.equal(ends[far][pick.index], pick.ends)
            assert set(pick.ends.flatten().tolist()) <= known
            known |= set(pick.classes.tolist())
        assert known == set(range(case.graph.hidden + 1))
    scales = random_scales(case.graph, generator=torch.Generator().manual_seed(3))
    other = rescale(case.graph, weights, scales)
    S, P = skeleton.suffix(case.graph, other), skeleton.prefix(case.graph, other)
    torch.testing.assert_close(S[:, 1:] * scales, skeleton.suffix(case.graph, weights)[:, 1:])
    torch.testing.assert_close(P[:, 1:] / scales, skeleton.prefix(case.graph, weights)[:, 1:])


def test_a_stream_comes_first_both_ways():
    graph = residual().graph
    stream = Block(10, 14)
    into, out = graph.from_inputs, graph.towards_outputs
    assert (into[0].block, into[0].name, out[0].block, out[0].name) == (stream, "stem.weight", stream, "head.weight")
    assert {at.name for at in into[1:]} == {"in1.weight", "in2.weight"}
    assert {at.name for at in out[1:]} == {"out1.weight", "out2.weight"}


def test_channels_that_no_output_reads_are_refused_with_a_reason():
    graph = residual().graph
    edges = {name: e for name, e in graph.edges.items() if name != "head.weight"}
    shapes = {name: graph.shapes[name] for name in edges}
    support = CycleSpace().supports(Graph(shapes, edges, graph.blocks))
    assert support.reasons == ("no tensor leads to the outputs from the channels of classes 10 to 13",)


@pytest.mark.parametrize("case", CASES)
def test_balance(case):
    weights = draw(case)
    balanced = balance(case.graph, weights)
    assert_same_function(case, balanced, weights)
    sums = {end: torch.zeros(3, case.graph.hidden + 1, dtype=torch.float64) for end in ENDS}
    for name, w in balanced.items():
        for end in ENDS:
            at = getattr(case.graph.edges[name], end).expand(case.graph.shapes[name]).flatten()
            sums[end].index_add_(-1, at, w.square().flatten(1))
    torch.testing.assert_close(sums["head"][:, 1:], sums["tail"][:, 1:], rtol=1e-10, atol=0)
    exact = random_scales(case.graph, 3.0, powers_of_two=True, generator=torch.Generator().manual_seed(3))
    assert_close(balance(case.graph, rescale(case.graph, weights, exact)), balanced, rtol=0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("choice", CHOICES)
def test_reparametrize(choice, case):
    weights = draw(case)
    changed, skeleton = reparametrize(case.graph, weights, choice)
    assert_same_function(case, changed, weights)
    for pick in skeleton.out:
        assert (pick.read(changed[pick.name]).abs() == 1).all()


@pytest.mark.parametrize("case", CASES)
def test_largest_products(case):
    """Maxprod leaves no class with a smaller product than any other choice does."""
    weights = draw(case)
    largest = choose("maxprod", case.graph, weights).suffix(case.graph, weights).abs()
    for choice in CHOICES:
        assert (choose(choice, case.graph, weights).suffix(case.graph, weights).abs() <= largest * (1 + 1e-12)).all()
