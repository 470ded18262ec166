"""From a PyTorch model to its description."""

from collections.abc import Sequence

import torch
from torch import nn

from scaleinv.symmetry.graph import Block, Edges, Graph
from scaleinv.symmetry.network import Layer, Network, UnsupportedNetworkError


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
