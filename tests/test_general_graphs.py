"""Promise: a skeleton needs a graph, not a chain, and says which graphs it cannot take.

On the same graphs test_space_laws.py tests the laws of the spaces, test_invariance_exact.py their invariance.
"""

import pytest
import torch
from conftest import draw
from small_networks import BY_HAND, residual

from scaleinv.spaces import CycleSpace
from scaleinv.symmetry.graph import Block, Graph
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.skeleton import CHOICES, choose

CASES = [pytest.param(case, id=name) for name, case in BY_HAND.items()]


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
def test_largest_products(case):
    """Maxprod leaves no class with a smaller product than any other choice does."""
    weights = draw(case)
    largest = choose("maxprod", case.graph, weights).suffix(case.graph, weights).abs()
    for choice in CHOICES:
        assert (choose(choice, case.graph, weights).suffix(case.graph, weights).abs() <= largest * (1 + 1e-12)).all()
