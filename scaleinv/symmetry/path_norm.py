"""Path norms: sums over all paths of a network, from one forward pass of one input of ones (maths.md, section 7)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_rules import PathVisitor, Square, Sums, finite_positive, power
from scaleinv.symmetry.program import Program, UnsupportedNetworkError, Visitor

# Runs the program of one member: ``run(images, visitor)``.
Run = Callable[[Any, Visitor | None], Any]


def path_norm(network: Network, weights: Weights, p: float = 2.0, buffers: Weights | None = None) -> Tensor:
    """Compute ``(sum over paths of |v_p|^p)^(1/p)``; invariant under rescaling.

    With batch norm it is invariant if the running statistics are rescaled with the weights before it.

    Args:
        network: description of the network.
        weights: tensors ``(*members, own shape)``.
        p: exponent, greater than 0.
        buffers: running statistics, ``(*members, own shape)`` by name; as freshly made if left out.

    Returns:
        The norm, shape ``(*members,)``.

    Raises:
        UnsupportedNetworkError: no path norm is defined through an operation; the message names it.
        ValueError: p is not positive and finite.
    """
    return path_sum(network, weights, p, buffers) ** (1 / p)


def model_path_norm(model: nn.Module, example: Tensor, p: float = 2.0) -> float:
    """Compute the path norm of a model, in float64 and in evaluation mode.

    Args:
        model: any module that takes one tensor; it is not changed.
        example: images ``(batch, *inputs)``, of which only the shape matters.
        p: exponent, greater than 0.

    Raises:
        UnsupportedNetworkError: the model cannot be traced, or no path norm is defined through an operation.
        ValueError: p is not positive and finite.
    """
    visitor = PathVisitor(finite_positive(p), power(p))
    kept = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: t.detach().double() if t.is_floating_point() else t for name, t in kept.items()}
    ones: Any = Sums(torch.ones(1, *example.shape[1:], dtype=torch.float64, device=example.device))
    return total(Program.trace(model, example).run(tensors, ones, visitor)).item() ** (1 / p)


def path_sum(network: Network, weights: Weights, p: float = 2.0, buffers: Weights | None = None) -> Tensor:
    """Compute ``sum over paths of |v_p|^p``, the p-th power of the path norm; differentiable.

    It is the sum of the outputs of the network with weights ``|w|^p`` at an input of ones (Neyshabur et al. 2015,
    section 4). Paths start at the inputs and at biases; :mod:`scaleinv.symmetry.path_rules` has the operations.
    Arguments and errors as in :func:`path_norm`.
    """
    raised = power(finite_positive(p))
    if not network.chain:
        visitor = PathVisitor(p, raised)
        return per_member(network, weights, buffers, lambda run, ones: total(run(ones, visitor)))
    like = next(iter(weights.values()))
    x = torch.ones(*network.graph.members(weights), network.sizes[0], dtype=like.dtype, device=like.device)
    for layer in network.chain:
        x = times(raised(weights[layer.weight]), x)
        if layer.bias is not None:
            x = x + raised(weights[layer.bias])
    return x.sum(-1)


def path_curvature(network: Network, weights: Weights, buffers: Weights | None = None) -> dict[str, Tensor]:
    """Compute ``kappa_e = 1/2 d^2/dw_e^2 sum over paths of v_p^2``, by which Path-SGD divides.

    A path uses a weight once, so ``kappa_e = d/d(w_e^2)`` of the path norm's square: for an edge u -> v the product of
    the squared paths from the inputs to u and of those from v to the outputs (Neyshabur et al. 2015, Path-SGD).

    Args:
        network: description of the network.
        weights: tensors ``(*members, own shape)``.
        buffers: see :func:`path_norm`.

    Returns:
        One number per weight, by name, ``(*members, own shape)``; it may be a view.

    Raises:
        UnsupportedNetworkError: see :func:`path_norm`.
    """
    if network.chain:
        return _chain_curvature(network, weights)
    visitor = PathVisitor(2.0, Square.apply, parameters=frozenset(weights))
    leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
    with torch.enable_grad():
        sums = per_member(network, leaves, buffers, lambda run, ones: total(run(ones, visitor)))
    grads = torch.autograd.grad(sums.sum(), list(leaves.values()), materialize_grads=True)
    return {name: g.contiguous() for name, g in zip(leaves, grads, strict=True)}


def _chain_curvature(network: Network, weights: Weights) -> dict[str, Tensor]:
    first, *rest = network.chain
    # An input of ones makes the first product a sum: one pass over the matrix that holds most of the weights.
    x = torch.linalg.vector_norm(weights[first.weight], dim=-1).square()
    reached = [x if first.bias is None else x + weights[first.bias].square()]
    squares = [weights[layer.weight].square() for layer in rest]
    for layer, square in zip(rest, squares, strict=True):
        x = times(square, reached[-1])
        reached.append(x if layer.bias is None else x + weights[layer.bias].square())
    onwards = torch.ones_like(reached[-1])
    curvature: dict[str, Tensor] = {}
    for layer, square, x in reversed(list(zip(rest, squares, reached[:-1], strict=True))):
        if layer.bias is not None:
            curvature[layer.bias] = onwards
        before = times(square.mT, onwards)
        curvature[layer.weight] = torch.mul(onwards.unsqueeze(-1), x.unsqueeze(-2), out=square)
        onwards = before
    if first.bias is not None:
        curvature[first.bias] = onwards
    curvature[first.weight] = onwards.unsqueeze(-1).expand_as(weights[first.weight])
    return {name: curvature[name] for name in weights}


def per_member(
    network: Network, weights: Weights, buffers: Weights | None, function: Callable[..., Any], *more: Any
) -> Any:
    """Apply a function of one member to all members at once.

    Args:
        network: description of the network.
        weights: tensors ``(*members, own shape)``.
        buffers: see :func:`path_norm`.
        function: of ``run(images, visitor)``, which runs the member's program, of sums of ones, one input, and of the
            member's part of ``more``.
        more: nests of tensors ``(*members, ...)``.
    """
    program, like = network.program, next(iter(weights.values()))
    members = network.graph.members(weights)
    ones = torch.ones(1, *network.inputs, dtype=like.dtype, device=like.device)

    def of_tensors(tensors: dict[str, Tensor], *more: Any) -> Any:
        return function(lambda images, visitor: program.run(tensors, images, visitor), Sums(ones), *more)

    for _ in members:
        of_tensors = torch.func.vmap(of_tensors)
    return of_tensors({**weights, **whole_buffers(network, weights, buffers)}, *more)


def whole_buffers(network: Network, weights: Weights, buffers: Weights | None) -> Weights:
    """Return the buffers, as freshly made for every member if there are none."""
    if buffers is not None:
        return buffers
    like, members = next(iter(weights.values())), network.graph.members(weights)
    fresh = network.buffers(1, like.dtype)
    return {name: b[0].to(like.device).expand(*members, *b.shape[1:]) for name, b in fresh.items()}


def require_paths(network: Network) -> None:
    """Refuse networks without a path norm.

    Raises:
        UnsupportedNetworkError: no path norm is defined through an operation; the message names it.
    """
    if not network.chain:
        path_curvature(network, network.init([0]))


def total(outputs: Any) -> Tensor:
    """Add up the sums over the paths to the outputs.

    Raises:
        UnsupportedNetworkError: the model returns something else than one tensor.
    """
    if not isinstance(outputs, Sums):
        raise UnsupportedNetworkError("a path norm is defined for models that return one tensor")
    return outputs.tensor.sum()


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply stacked matrices by stacked vectors."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
