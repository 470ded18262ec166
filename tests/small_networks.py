"""Small networks of every kind for the laws: chains, models that are traced, and graphs and functions by hand.

Of the latter neither can be wrong in the way of the other: convolutions, groups, flattening, streams, concatenation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from conftest import NETWORKS, batch, gradient
from small_models import SMALL
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from scaleinv.spaces._gradient import Gradient
from scaleinv.symmetry.graph import Block, Edges, Graph
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.trace import describe
from scaleinv.training.autograd import AutogradEngine, AutogradGradient
from scaleinv.training.chain import ChainEngine


@dataclass(frozen=True)
class Chain:
    """A chain, as training computes it."""

    network: Network

    @property
    def graph(self) -> Graph:
        """Return the network's graph."""
        return self.network.graph

    def forward(self, weights: dict[str, Tensor]) -> Tensor:
        """Compute the outputs of a stack, or of one member."""
        return self.network.forward(weights, batch(self.network, dtype=next(iter(weights.values())).dtype)[0])

    def gradient(self, weights: dict[str, Tensor], k: int = 0) -> Gradient:
        """Differentiate the cross-entropy of the stack's members at the k-th batch."""
        images, labels = batch(self.network, 16, next(iter(weights.values())).dtype, seed=k)
        return gradient(ChainEngine(self.network), weights, images, labels)[1]


@dataclass
class Described:
    """A traced model, as training computes it: batch norm by the batch in the gradient, by its statistics elsewhere."""

    kind: str

    @cached_property
    def network(self) -> Network:
        """Return the description."""
        torch.manual_seed(0)
        return describe(SMALL[self.kind].make(), torch.zeros(2, *SMALL[self.kind].inputs))

    @property
    def graph(self) -> Graph:
        """Return the network's graph."""
        return self.network.graph

    def forward(self, weights: dict[str, Tensor]) -> Tensor:
        """Compute the outputs of a stack, or of one member."""
        outputs = self.network.forward(weights, batch(self.network, dtype=next(iter(weights.values())).dtype)[0])
        return outputs.detach()

    def gradient(self, weights: dict[str, Tensor], k: int = 0) -> Gradient:
        """Differentiate the cross-entropy of the stack's members at the k-th batch."""
        some = next(iter(weights.values()))
        images, labels = batch(self.network, 16, some.dtype, seed=k)
        engine = AutogradEngine(self.network, self.network.buffers(len(some), some.dtype))
        return gradient(engine, weights, images, labels)[1]


@dataclass(frozen=True)
class ByHand:
    """A graph, and the function of one member that it describes."""

    graph: Graph
    images: Tensor
    function: Callable[[dict[str, Tensor], Tensor], Tensor]

    def forward(self, weights: dict[str, Tensor]) -> Tensor:
        """Compute the outputs of a stack, or of one member."""
        single = lambda w: self.function(w, self.images.to(next(iter(w.values())).dtype))  # noqa: E731
        return torch.vmap(single)(weights) if self.graph.members(weights) else single(weights)

    def gradient(self, weights: dict[str, Tensor], k: int = 0) -> Gradient:
        """Differentiate the sum of the squared outputs, shifted by k, member by member."""
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        losses = (self.forward(leaves) - k / 10).square().mean((-1, -2))
        grads = torch.autograd.grad(losses.sum(), list(leaves.values()))
        written = {name: g.contiguous() for name, g in zip(leaves, grads, strict=True)}
        return AutogradGradient(written)


def images(*shape: int) -> Tensor:
    return torch.randn(6, *shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def classes(first: int, number: int) -> Tensor:
    return torch.arange(first, first + number)


ANCHOR = torch.zeros(1, dtype=torch.long)


def dense(head: Tensor, tail: Tensor) -> Edges:
    """Edges of a matrix."""
    return Edges(head[:, None], tail[None])


def convolutional() -> ByHand:
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

    return ByHand(graph, images(2, 6, 6), function)


def residual() -> ByHand:
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

    return ByHand(graph, images(5), function)


def concatenated() -> ByHand:
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

    return ByHand(graph, images(5), function)


BY_HAND = {make.__name__: make() for make in (convolutional, residual, concatenated)}
CHAINS = {param.id: Chain(param.values[0]) for param in NETWORKS}


class ConvolutionalModel(nn.Module):
    """The function of :func:`convolutional` as a module."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.linear, self.head = nn.Linear(36, 5), nn.Linear(5, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the outputs."""
        x = self.grouped(max_pool2d(self.conv(x).relu(), 2)).relu()
        return self.head(self.linear(x.flatten(1)).relu())


class ResidualModel(nn.Module):
    """The function of :func:`residual` as a module."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.stem, self.head = nn.Linear(5, 4), nn.Linear(4, 3)
        self.in1, self.out1 = nn.Linear(4, 6), nn.Linear(6, 4)
        self.in2, self.out2 = nn.Linear(4, 3, bias=False), nn.Linear(3, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the outputs."""
        x = self.stem(x)
        x = x + self.out1(self.in1(x).relu())
        x = x + self.out2(self.in2(x.relu()).relu())
        return self.head(x)


MODULES = {
    "convolutional": Network(ConvolutionalModel, BY_HAND["convolutional"].graph, (2, 6, 6), 3),
    "residual": Network(ResidualModel, BY_HAND["residual"].graph, (5,), 3),
}
# Models of which no graph is written by hand; test_model_laws.py goes through all kinds.
DESCRIBED = {
    kind: Described(kind) for kind in ("projection", "used_twice", "grouped_and_depthwise", "residual_with_batch_norm")
}
