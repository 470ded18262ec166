"""The orbit of the rescaling group through some weights: its tangent space, and the balanced point on it."""

import torch
from torch import Tensor

from scaleinv.symmetry.balance import Dead, balancing_scales
from scaleinv.symmetry.graph import Edges, Graph, Weights
from scaleinv.symmetry.group import rescale


def along_orbit(graph: Graph, weights: Weights, step: Weights) -> dict[str, Tensor]:
    """Return the part of a step that moves along the orbit; the rest is orthogonal to all rescalings.

    The tangent space at w is spanned by ``t_c = w_e ([head = c] - [tail = c])``. The part of a step s is ``T x`` with
    ``T^T T x = T^T s``; ``T^T T`` is the Laplacian of the graph with ``w_e^2`` as edge weights, ``(K, K)``.

    Args:
        graph: graph of the network.
        weights: where the step begins, ``(*members, own shape)``.
        step: the step, of the same shapes.
    """
    x = _solve(_laplacian(graph, weights), _differences(graph, {n: weights[n] * s for n, s in step.items()}))
    return _tangent(graph, weights, x)


def balanced(graph: Graph, weights: Weights, tolerance: float = 1e-12, dead: Dead = "refuse") -> dict[str, Tensor]:
    """Return the balanced gauge of :func:`scaleinv.symmetry.balance.balance`, as a differentiable function of w.

    With D the factors that lead there and T as in :func:`along_orbit` at the balanced point, the derivative is
    ``(I - T (T^T T)^-1 T^T) D``: a step along the orbit changes nothing.

    Raises:
        ValueError: as ``balance`` does.
    """
    with torch.no_grad():
        scales = balancing_scales(graph, weights, tolerance, dead=dead)
    moved = {n: w.to(weights[n].dtype) for n, w in rescale(graph, _doubles(weights), scales).items()}
    if not any(w.requires_grad for w in weights.values()):
        return moved
    fixed = {n: w.detach() for n, w in moved.items()}
    # c = squares in - squares out is 0 at the balanced point, and dc = 2 T^T db: x takes every step's part along T off.
    x = -_solve(_laplacian(graph, fixed), _differences(graph, {n: w.square() for n, w in moved.items()})) / 2
    tangent = _tangent(graph, fixed, x)
    return {n: w + (tangent[n] - tangent[n].detach()) for n, w in moved.items()}


def _doubles(weights: Weights) -> dict[str, Tensor]:
    return {name: w.double() for name, w in weights.items()}


def _tangent(graph: Graph, weights: Weights, x: Tensor) -> dict[str, Tensor]:
    """Return ``T x`` in the dtype of the weights; x is ``(*members, K + 1)``, 0 at the anchor."""
    return {n: w * (graph.edges[n].at_heads(x) - graph.edges[n].at_tails(x)).to(w.dtype) for n, w in weights.items()}


def _differences(graph: Graph, values: Weights) -> Tensor:
    """Return per class the sum over in-edges minus that over out-edges, float64 ``(*members, K + 1)``."""
    parts = []
    for name, v in values.items():
        head, tail = _full(graph.edges[name], v, len(graph.shapes[name]))
        flat = v.flatten(-len(graph.shapes[name])).double()
        zeros = flat.new_zeros(*flat.shape[:-1], graph.hidden + 1)
        parts.append(zeros.index_add(-1, head, flat).index_add(-1, tail, -flat))
    return torch.stack(parts).sum(0)


def _laplacian(graph: Graph, weights: Weights) -> Tensor:
    """Return the Laplacian with ``w^2`` as edge weights and a one at the anchor, ``(*members, K + 1, K + 1)``.

    In float64, like all sums here: the squares of one network can span many decades.
    """
    size = graph.hidden + 1
    parts = []
    for name, w in weights.items():
        head, tail = _full(graph.edges[name], w, len(graph.shapes[name]))
        squares = w.double().square().flatten(-len(graph.shapes[name]))
        zeros = squares.new_zeros(*squares.shape[:-1], size * size)
        parts.append(zeros.index_add_(-1, head * size + tail, squares))
    flow = torch.stack(parts).sum(0).unflatten(-1, (size, size))
    flow = flow + flow.mT
    laplacian = torch.diag_embed(flow.sum(-1)) - flow
    # The anchor does not move; nor does a channel without any weight that is not zero.
    still = laplacian.diagonal(dim1=-2, dim2=-1) == 0
    still[..., 0] = True
    keep = (~still).to(flow.dtype)
    return laplacian * keep[..., None] * keep[..., None, :] + torch.diag_embed(still.to(flow.dtype))


def _solve(laplacian: Tensor, right: Tensor) -> Tensor:
    right = torch.cat([torch.zeros_like(right[..., :1]), right[..., 1:]], -1)
    # Without a check, so that a member that has diverged is NaN and stops no other.
    return torch.linalg.solve_ex(laplacian, right.unsqueeze(-1)).result.squeeze(-1)


def _full(edges: Edges, values: Tensor, own: int) -> tuple[Tensor, Tensor]:
    """Return the classes at both ends of every entry, flat."""
    shape = values.shape[values.dim() - own :]
    return edges.head.expand(shape).flatten(), edges.tail.expand(shape).flatten()
