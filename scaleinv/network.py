"""ReLU networks as functions of a named weight dict, and what is connected to what.

Weights are a plain mapping from ``state_dict`` names to tensors. Every tensor may carry leading member dims;
the last dims are the weight's own: ``(*members, out, in)`` for a matrix, ``(*members, out)`` for a bias.

The rescaling symmetry lives on *channel classes*: class 0 is the anchor (inputs, outputs, the source of the
biases), classes ``1..K`` are the hidden channels that may be rescaled freely. An entry of a parameter tensor is
an edge from its tail's class to its head's class (maths.md, section 1). Spaces see a network only through this
:class:`Graph`, so a new architecture needs a description, not another chart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]
_Map = tuple[int, int, bool, float | None]


class UnsupportedNetworkError(ValueError):
    """The model has a part that no description covers; the message names it and says why."""


@dataclass(frozen=True)
class Edges:
    """Classes at both ends of every entry of one parameter tensor.

    Attributes:
        head: class the entry leads to; broadcasts against the tensor's own dims.
        tail: class the entry leads from; broadcasts against the tensor's own dims.
    """

    head: Tensor
    tail: Tensor

    def at_heads(self, values: Tensor) -> Tensor:
        """Return ``values[..., head]`` for ``values`` of shape ``(*members, K + 1)``; it may be a view."""
        return _look_up(values, self.head, self._head_range)

    def at_tails(self, values: Tensor) -> Tensor:
        """Return ``values[..., tail]`` for ``values`` of shape ``(*members, K + 1)``; it may be a view."""
        return _look_up(values, self.tail, self._tail_range)

    @cached_property
    def _head_range(self) -> slice | None:
        return _as_range(self.head)

    @cached_property
    def _tail_range(self) -> slice | None:
        return _as_range(self.tail)


def _as_range(classes: Tensor) -> slice | None:
    """Return the classes as a slice if they follow each other, as those of a layer do; slices are views."""
    listed = classes.flatten().tolist()
    return slice(listed[0], listed[-1] + 1) if listed == list(range(listed[0], listed[-1] + 1)) else None


def _look_up(values: Tensor, classes: Tensor, contiguous: slice | None) -> Tensor:
    if contiguous is None:
        return values[..., classes]
    return values[..., contiguous].view(*values.shape[:-1], *classes.shape)


@dataclass(frozen=True)
class Block:
    """Hidden channels that one tensor writes and another reads: classes ``start, ..., stop - 1``.

    Attributes:
        start: first class of the block.
        stop: one past its last class.
        into: name of the matrix whose entries lead into the block.
        out: name of the matrix whose entries lead out of it.
    """

    start: int
    stop: int
    into: str
    out: str


@dataclass(frozen=True)
class Graph:
    """Channel classes of a network and the edges between them.

    Attributes:
        shapes: own shape of every parameter tensor.
        edges: class of head and tail of every entry of every parameter tensor.
        blocks: the hidden channels, from the inputs to the outputs.
    """

    shapes: dict[str, tuple[int, ...]]
    edges: dict[str, Edges]
    blocks: tuple[Block, ...]

    @cached_property
    def hidden(self) -> int:
        """Number K of free channel classes, which is the number of rescaling invariances."""
        return sum(block.stop - block.start for block in self.blocks)

    @cached_property
    def parameters(self) -> int:
        """Number m of scalar parameters, biases included."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())

    def members(self, weights: Weights) -> tuple[int, ...]:
        """Leading member dims that all tensors of ``weights`` share."""
        name, own = next(iter(self.shapes.items()))
        return tuple(weights[name].shape[: weights[name].dim() - len(own)])

    def to(self, device: torch.device | str) -> "Graph":
        """Return the same graph with its index tensors on ``device``."""
        moved = {name: Edges(e.head.to(device), e.tail.to(device)) for name, e in self.edges.items()}
        return Graph(self.shapes, moved, self.blocks)


@dataclass(frozen=True)
class Layer:
    """One affine map and the activation behind it.

    Attributes:
        weight: name of the matrix, own shape ``(out, in)``.
        bias: name of the bias, own shape ``(out,)``, or None.
        slope: slope of the activation below zero (0 is ReLU), or None for no activation.
    """

    weight: str
    bias: str | None
    slope: float | None


@dataclass(frozen=True)
class Network:
    """A chain of affine maps and positively homogeneous activations.

    Attributes:
        layers: the maps, from the inputs to the outputs.
        graph: the channel classes and edges of the chain.
    """

    layers: tuple[Layer, ...]
    graph: Graph

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, of each layer's hidden nodes, and of outputs."""
        shapes = [self.graph.shapes[layer.weight] for layer in self.layers]
        return (shapes[0][1], *(shape[0] for shape in shapes))

    def forward(self, weights: Weights, images: Tensor) -> Tensor:
        """Compute ``x_l = sigma(W_l x_{l-1} + b_l)`` (thesis, eq. 1.1).

        Args:
            weights: tensors ``(*members, out, in)`` and ``(*members, out)``.
            images: inputs ``(*members, batch, in)``, or ``(batch, in)`` for all members.

        Returns:
            Outputs ``(*members, batch, out)``.
        """
        x = images
        for layer in self.layers:
            x = x @ weights[layer.weight].mT
            if layer.bias is not None:
                x = x + weights[layer.bias].unsqueeze(-2)
            if layer.slope is not None:
                x = activation(x, layer.slope)
        return x

    def init(self, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Draw PyTorch's default initialisation, one member a seed.

        Args:
            seeds: one seed a member; equal seeds give equal members.
            dtype: of the weights; the draw itself is always float32.

        Returns:
            Weights ``(members, ...)``.
        """
        drawn = {seed: self._draw(seed) for seed in dict.fromkeys(seeds)}
        return {name: torch.stack([drawn[seed][name] for seed in seeds]).to(dtype) for name in self.graph.shapes}

    def module(self) -> nn.Sequential:
        """Build the plain ``nn.Module`` of this network, with fresh PyTorch initialisation."""
        maps: list[_Map] = [
            (into, out, layer.bias is not None, layer.slope)
            for layer, into, out in zip(self.layers, self.sizes, self.sizes[1:], strict=False)
        ]
        return _sequential(maps)

    def _draw(self, seed: int) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(seed)
            values = [p.detach() for p in self.module().parameters()]
        names = [name for layer in self.layers for name in (layer.weight, layer.bias) if name is not None]
        return dict(zip(names, values, strict=True))


def activation(x: Tensor, slope: float) -> Tensor:
    """Compute ``max(x, 0) + slope * min(x, 0)``: ReLU for slope 0, else LeakyReLU (thesis, eq. 1.5, 1.6)."""
    return torch.relu(x) if slope == 0 else nn.functional.leaky_relu(x, slope)


def mlp(sizes: Sequence[int], bias: bool = False, negative_slope: float = 0.0) -> Network:
    """Describe a fully connected network.

    Args:
        sizes: inputs, hidden widths, outputs, e.g. ``(784, 64, 64, 64, 64, 10)``.
        bias: whether every layer has one.
        negative_slope: slope of the hidden activations below zero; 0 is ReLU.

    Returns:
        The network; the parameters have the names that ``nn.Sequential`` gives them.
    """
    if len(sizes) < 2:
        raise ValueError(f"a network needs at least inputs and outputs, got sizes {tuple(sizes)}")
    slopes: list[float | None] = [negative_slope] * (len(sizes) - 2) + [None]
    maps: list[_Map] = [
        (into, out, bias, slope) for into, out, slope in zip(sizes[:-1], sizes[1:], slopes, strict=True)
    ]
    with torch.device("meta"):
        model = _sequential(maps)
    return describe(model)


def describe(model: nn.Module) -> Network:
    """Find the channel classes and edges of a model.

    Covers ``nn.Sequential``, nested or not, of Linear, ReLU, LeakyReLU, Identity, Dropout (the description is
    that of evaluation mode) and a leading Flatten.

    Args:
        model: the model; it is not changed.

    Returns:
        Its description, under the model's own parameter names.

    Raises:
        UnsupportedNetworkError: a part is not covered; the message names it and says why.
    """
    layers: list[Layer] = []
    shapes: dict[str, tuple[int, ...]] = {}
    seen: set[int] = set()
    for name, part in _parts(model):
        match part:
            case nn.Linear():
                if id(part.weight) in seen:
                    raise UnsupportedNetworkError(f"module {name}: its weights are used twice")
                seen.add(id(part.weight))
                prefix = f"{name}." if name else ""
                bias = f"{prefix}bias" if part.bias is not None else None
                layers.append(Layer(f"{prefix}weight", bias, None))
                shapes[f"{prefix}weight"] = (part.out_features, part.in_features)
                if bias:
                    shapes[bias] = (part.out_features,)
            case nn.ReLU() | nn.LeakyReLU():
                if not layers or layers[-1].slope is not None:
                    raise UnsupportedNetworkError(
                        f"module {name} ({type(part).__name__}): an activation must follow a Linear"
                    )
                slope = 0.0 if isinstance(part, nn.ReLU) else float(part.negative_slope)
                layers[-1] = Layer(layers[-1].weight, layers[-1].bias, slope)
            case nn.Identity() | nn.Dropout():
                pass
            case nn.Flatten() if not layers and part.start_dim == 1:
                pass
            case _:
                raise UnsupportedNetworkError(
                    f"module {name or '(the model)'} ({type(part).__name__}) is not covered: only Sequential models"
                    " of Linear, ReLU, LeakyReLU, Identity, Dropout and a leading Flatten are described so far"
                )
    if not layers:
        raise UnsupportedNetworkError("the model has no Linear layer")
    return Network(tuple(layers), _chain_graph(layers, shapes))


def _sequential(maps: Sequence[_Map]) -> nn.Sequential:
    """Build a chain from (inputs, outputs, bias, slope or None) quadruples."""
    parts: list[nn.Module] = []
    for into, out, bias, slope in maps:
        parts.append(nn.Linear(into, out, bias=bias))
        if slope is not None:
            parts.append(nn.ReLU() if slope == 0 else nn.LeakyReLU(slope))
    return nn.Sequential(*parts)


def _parts(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Flatten nested Sequentials into (dotted name, module) pairs, in order of application."""
    if not isinstance(model, nn.Sequential):
        return [(prefix, model)]
    return [
        pair
        for name, child in model._modules.items()  # named_children() leaves repeated modules out
        if child is not None
        for pair in _parts(child, f"{prefix}.{name}" if prefix else name)
    ]


def _chain_graph(layers: Sequence[Layer], shapes: dict[str, tuple[int, ...]]) -> Graph:
    """Number the hidden channels of a chain layer by layer; anchor its inputs and outputs."""
    edges: dict[str, Edges] = {}
    blocks: list[Block] = []
    start = 1
    tail = torch.zeros(shapes[layers[0].weight][1], dtype=torch.long)
    for layer, reader in zip(layers, [*layers[1:], None], strict=True):
        width = shapes[layer.weight][0]
        if reader is None:
            head = torch.zeros(width, dtype=torch.long)
        else:
            if shapes[reader.weight][1] != width:
                raise UnsupportedNetworkError(
                    f"{reader.weight} reads {shapes[reader.weight][1]} inputs, {layer.weight} writes {width}"
                )
            head = torch.arange(start, start + width)
            blocks.append(Block(start, start + width, layer.weight, reader.weight))
            start += width
        edges[layer.weight] = Edges(head[:, None], tail[None, :])
        if layer.bias is not None:
            edges[layer.bias] = Edges(head, torch.zeros(1, dtype=torch.long))
        tail = head
    return Graph(shapes, edges, tuple(blocks))
