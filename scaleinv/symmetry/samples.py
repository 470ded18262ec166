"""A batch in a network: the complexity of every node, and its curvature by every weight (maths.md, section 7)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import per_member, times, total, whole_buffers
from scaleinv.symmetry.path_rules import PathVisitor, Square, Sums, is_node
from scaleinv.symmetry.program import Operation

# From the number of a group of nodes and its size to signs ``(k, nodes)``.
Signs = Callable[[int, int], Tensor]
Spread = Callable[[Tensor], Tensor]


def variance(values: Tensor) -> Tensor:
    """Return the variance over a batch, ``(members, batch, ...)``."""
    return values.var(1, correction=0)


def mean_square(values: Tensor) -> Tensor:
    """Return the mean square over a batch, ``(members, batch, ...)``."""
    return values.square().mean(1)


class Samples(ABC):
    """Forward pass of a stack on a batch, with the complexity of every node.

    Attributes:
        outputs: outputs of the network, ``(members, batch, outputs)``.
        squared_gamma: ``gamma_net^2``, ``(members,)``.
    """

    outputs: Tensor
    squared_gamma: Tensor

    @abstractmethod
    def curvature(self, signs: Signs | None = None, rays: Tensor | None = None) -> dict[str, Tensor]:
        """Compute kappa; see :meth:`scaleinv.symmetry.complexity.Complexity.curvature`.

        Args:
            signs: as for :meth:`scaleinv.symmetry.complexity.Complexity.curvature`.
            rays: gradients by the outputs, to use instead of all nodes, ``(members, rays, batch, outputs)``.
        """


class ChainSamples(Samples):
    """The closed form for chains.

    Attributes:
        inputs: what every layer reads, ``(members, batch, in)``.
        slopes: derivatives of the activations after every layer but the last, ``(members, batch, out)``.
        reached: ``gamma_v^2`` of the inputs and of every layer's nodes, ``(members, nodes)``.
    """

    def __init__(self, network: Network, weights: Weights, images: Tensor, alphas: Tensor, spread: Spread) -> None:
        """Compute everything that does not need a backward pass."""
        self._chain, self._weights, self._spread = network.chain, weights, spread
        some = weights[network.chain[0].weight]
        self._alpha = alphas[:, None]
        self.inputs = [images.repeat_interleave(len(some) // len(images), 0)]
        self.slopes: list[Tensor] = []
        self.reached = [some.new_ones(len(some), some.shape[-1])]
        for layer in network.chain:
            matrix = weights[layer.weight]
            z = self.inputs[-1] @ matrix.mT
            path = times(matrix.square(), self.reached[-1])
            if layer.bias is not None:
                z = z + weights[layer.bias].unsqueeze(1)
                path = path + weights[layer.bias].square()
            self.reached.append(self._alpha * self._spread(z) + (1 - self._alpha) * path)
            self.outputs = z
            if layer.slope is not None:
                self.slopes.append(torch.full_like(z, layer.slope).masked_fill_(z > 0, 1.0))
                self.inputs.append(z * self.slopes[-1])
        self.squared_gamma = self.reached[-1].sum(-1)

    def curvature(self, signs: Signs | None = None, rays: Tensor | None = None) -> dict[str, Tensor]:
        """Go backwards with the gradients of all nodes above; see :meth:`Samples.curvature`."""
        is_given = rays is not None
        curvature: dict[str, Tensor] = {}
        onwards = torch.ones_like(self.reached[-1])
        if rays is None:
            rays = self._nodes(onwards, signs, len(self._chain) - 1)
        for depth in range(len(self._chain) - 1, -1, -1):
            layer, h = self._chain[depth], self.inputs[depth]
            matrix, average = self._weights[layer.weight], 1 if signs is None else rays.shape[1]
            weight, bias = self._sampled(rays, h)
            rest = torch.zeros_like(onwards) if is_given else (1 - self._alpha) * onwards
            curvature[layer.weight] = rest.unsqueeze(-1) * self.reached[depth].unsqueeze(-2) + weight / average
            if layer.bias is not None:
                curvature[layer.bias] = rest + bias / average
            if depth:
                onwards = times(matrix.square().mT, rest)
                rays = (rays @ matrix.unsqueeze(1)) * self.slopes[depth - 1].unsqueeze(1)
                if not is_given:
                    own = self._nodes(onwards, signs, depth - 1)
                    rays = torch.cat([rays, own], 1) if signs is None else rays + own
        return {name: curvature[name] for name in self._weights}

    def _sampled(self, rays: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Sum the spread over the batch of ``d(ray)/dw`` over all rays, for a layer's matrix and bias.

        Args:
            rays: gradients of functions of the outputs by the layer's outputs, ``(members, rays, batch, out)``.
            h: what the layer reads, ``(members, batch, in)``.

        Returns:
            The sums, ``(members, out, in)`` and ``(members, out)``.
        """
        n = h.shape[1]
        squares = rays.square().sum(1)
        weight, bias = squares.mT @ h.square() / n, squares.mean(1)
        if self._spread is variance:
            for ray in rays.unbind(1):
                weight -= (ray.mT @ h / n).square()
                bias -= ray.mean(1).square()
        return weight.clamp_(min=0), bias.clamp_(min=0)

    def _nodes(self, onwards: Tensor, signs: Signs | None, depth: int) -> Tensor:
        """Return a layer's nodes as rays, ``sqrt(alpha d gamma_net^2 / d gamma_v^2) z_v``.

        Without signs every node is a ray of its own; with signs each ray is a signed sum over all nodes.
        """
        size, n = (self._alpha * onwards).sqrt(), self.inputs[0].shape[1]
        rays = torch.diag_embed(size) if signs is None else signs(depth, size.shape[-1]) * size.unsqueeze(1)
        return rays.unsqueeze(2).expand(-1, -1, n, -1)


OUTPUT = "output"


class ProgramSamples(Samples):
    """Any network, by autograd: nodes are what activations read, and the outputs.

    Attributes:
        nodes: values of the nodes by operation, ``(members, batch, ...)``.
    """

    def __init__(
        self,
        network: Network,
        weights: Weights,
        buffers: Weights | None,
        images: Tensor,
        alphas: Tensor,
        spread: Spread,
    ) -> None:
        """Compute everything that does not need a backward pass."""
        self._network, self._weights = network, weights
        self._buffers = whole_buffers(network, weights, buffers)
        self._alphas, self._spread = alphas, spread
        self._images = images.repeat_interleave(len(alphas) // len(images), 0).unflatten(-1, network.inputs)
        self.nodes = per_member(network, weights, self._buffers, lambda run, ones, x: _nodes(run, x), self._images)
        self.outputs = self.nodes[OUTPUT]
        self._spreads = {name: spread(z) for name, z in self.nodes.items()}
        zeros = {name: torch.zeros_like(s) for name, s in self._spreads.items()}
        self.squared_gamma = self._complexity(weights, zeros, PathVisitor(2.0, torch.square))

    def _complexity(self, weights: Weights, offsets: dict[str, Tensor], visitor: PathVisitor) -> Tensor:
        """Compute ``gamma_net^2``, with offsets added to the ``gamma_v^2`` of all nodes."""

        def of_member(run: Any, ones: Sums, spreads: dict, offsets: dict, alpha: Tensor) -> Tensor:
            def mixed(name: str, sums: Tensor) -> Tensor:
                return alpha * spreads[name] + (1 - alpha) * sums + offsets[name]

            outputs = run(ones, visitor.at_nodes(lambda at, x: mixed(at.name, x)))
            total(outputs)
            return mixed(OUTPUT, outputs.tensor).sum()

        return per_member(
            self._network, weights, self._buffers, of_member, self._spreads, offsets, self._alphas.to(self.outputs)
        )

    def curvature(self, signs: Signs | None = None, rays: Tensor | None = None) -> dict[str, Tensor]:
        """Take gradients per image of one combination of nodes after the other; see :meth:`Samples.curvature`."""
        if rays is not None:
            return self._sampled({OUTPUT: ray} for ray in rays.unbind(1))
        offsets = {name: torch.zeros_like(s).requires_grad_() for name, s in self._spreads.items()}
        leaves = {name: w.detach().requires_grad_() for name, w in self._weights.items()}
        with torch.enable_grad():
            squared = self._complexity(
                leaves, offsets, PathVisitor(2.0, Square.apply, parameters=frozenset(leaves))
            ).sum()
        grads = torch.autograd.grad(squared, [*leaves.values(), *offsets.values()], materialize_grads=True)
        onwards = dict(zip(offsets, grads[len(leaves) :], strict=True))
        shape = {name: (-1, *[1] * (o.dim() - 1)) for name, o in onwards.items()}
        sizes = {name: (self._alphas.view(shape[name]) * o).sqrt() for name, o in onwards.items()}
        drawn = self._combinations(sizes, signs)
        count = 1 if signs is None else len(signs(0, 1))
        sampled = self._sampled(drawn)
        return {name: g + sampled[name] / count for name, g in zip(leaves, grads, strict=False)}

    def _combinations(self, sizes: dict[str, Tensor], signs: Signs | None) -> Iterator[dict[str, Tensor]]:
        """Yield every node alone, or signed sums of all nodes, as coefficients by operation, ``(members, 1, ...)``."""
        if signs is None:
            for name, size in sizes.items():
                for node in range(size[0].numel()):
                    own = torch.zeros_like(size)
                    own.flatten(1)[:, node] = size.flatten(1)[:, node]
                    yield {name: own.unsqueeze(1)}
            return
        drawn = [signs(i, size[0].numel()).view(-1, *size.shape[1:]) for i, size in enumerate(sizes.values())]
        for k in range(len(drawn[0])):
            yield {name: (own[k] * size).unsqueeze(1) for own, (name, size) in zip(drawn, sizes.items(), strict=True)}

    def _sampled(self, combinations: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Add up the spread over the batch of the gradients of combinations of nodes."""
        program, n = self._network.program, self._images.shape[1]

        def of_image(weights: dict, buffers: dict, image: Tensor, coefficients: dict) -> Tensor:
            tensors = {**weights, **buffers}
            nodes = _nodes(lambda x, visitor: program.run(tensors, x, visitor), image.unsqueeze(0))
            return sum((nodes[name] * c).sum() for name, c in coefficients.items())

        gradients = torch.func.vmap(torch.func.vmap(torch.func.grad(of_image), (None, None, 0, 0)))
        totals = {name: torch.zeros_like(w) for name, w in self._weights.items()}
        for combination in combinations:
            coefficients = {name: c.expand(-1, n, *c.shape[2:]) for name, c in combination.items()}
            own = gradients(dict(self._weights), dict(self._buffers), self._images, coefficients)
            for name, g in own.items():
                totals[name] += self._spread(g)
        return totals


def _nodes(run: Any, images: Tensor) -> dict[str, Tensor]:
    """Run a network and return what its activations read, and its outputs."""
    nodes = {}

    def visit(at: Operation, args: tuple, kwargs: dict) -> Any:
        if is_node(at):
            nodes[at.name] = args[0]
        return at.target(*args, **kwargs)

    nodes[OUTPUT] = run(images, visit)
    return nodes
