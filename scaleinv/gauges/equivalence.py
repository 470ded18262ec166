"""Whether two models are one up to rescaling and, for chains of layers, up to the order of their channels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from scaleinv.gauges._models import described, weights_of
from scaleinv.gauges.moves import why_not_permutable
from scaleinv.symmetry import permutation
from scaleinv.symmetry.balance import alive, balancing_scales
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import rescale


@dataclass(frozen=True)
class Equivalence:
    """Answer of :func:`equivalent`; true if the models are equivalent.

    Attributes:
        holds: whether the models are one up to the symmetries.
        reason: why, or why not, in one sentence.
        deviation: largest difference of two weights in the balanced gauge, relative to the largest weight of their
            tensor; infinite if they could not be compared.
        permuted: whether channels had to change places.
        scales: scales that lead from the first model, its channels in the order of the second's, to the second,
            ``(K,)``; None if the models could not be compared.
        source: channel of the first model, by its class, at the place of each of the second's, ``(K + 1,)``; or None.
    """

    holds: bool
    reason: str
    deviation: float = float("inf")
    permuted: bool = False
    scales: Tensor | None = None
    source: Tensor | None = None

    def __bool__(self) -> bool:
        """Return whether the models are equivalent."""
        return self.holds


def equivalent(
    model_a: nn.Module,
    model_b: nn.Module,
    example: Tensor | None = None,
    permute: bool = True,
    tolerance: float | None = None,
) -> Equivalence:
    """Compare two models up to rescaling and, where channels can change places, up to permutation.

    Both are brought to the balanced gauge (channels that have none, because something is divided by them or no output
    reads them, are compared as they are), channels are matched (:func:`scaleinv.symmetry.permutation.match`), and
    weights are compared; then outputs, since two models may do different things with the same weights. Weights of
    channels that are dead in both models, which no output depends on, are not compared.

    Args:
        model_a: a model; see :func:`scaleinv.gauges.rescale`.
        model_b: another, with parameters of the same shapes in the same order; their names may differ.
        example: a batch of inputs; a ``Sequential`` of linear layers needs none.
        permute: whether to look for a permutation.
        tolerance: largest deviation, of weights and of outputs, that counts as round-off; None chooses by the dtype.

    Raises:
        UnsupportedNetworkError: a model cannot be described.
        ValueError: a weight is not finite.
    """
    one, other = (described(model, example) for model in (model_a, model_b))
    if difference := _difference(one.graph, other.graph):
        return Equivalence(False, difference)
    graph = one.graph
    weights = [weights_of(model, network.graph) for model, network in ((model_a, one), (model_b, other))]
    if tolerance is None:
        eps = max(torch.finfo(w.dtype).eps for ws in weights for w in ws.values())
        tolerance = eps ** (2 / 3)
    first, second = (
        _without_dead(graph, {name: w.double().cpu() for name, w in zip(graph.shapes, ws.values(), strict=True)})
        for ws in weights
    )
    scales = [balancing_scales(graph, ws, dead="keep") for ws in (first, second)]
    a, b = (rescale(graph, ws, s) for ws, s in zip((first, second), scales, strict=True))
    source = torch.arange(graph.hidden + 1)
    can = permute and not any(map(why_not_permutable, (one, other)))
    if can and _deviation(a, b) > tolerance:
        source = permutation.match(graph, a, b)
        a = permutation.permute(graph, a, source)
    deviation = _deviation(a, b)
    permuted = not torch.equal(source, torch.arange(graph.hidden + 1))
    of_first = torch.nn.functional.pad(scales[0], (1, 0), value=1.0)[source][1:]
    compared = partial(Equivalence, deviation=deviation, permuted=permuted, scales=of_first / scales[1], source=source)
    how = "up to rescaling and the order of their channels" if can else "up to rescaling"
    if not deviation <= tolerance:
        apart = int((~_connected(graph)).sum())
        note = f"; {apart} channels that have a balanced gauge in no model were compared as they are" if apart else ""
        return compared(False, f"the weights differ {how}, by {deviation:.1e}{note}")
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, *one.inputs, generator=generator) if example is None else example
    outputs = _output_deviation(model_a, model_b, inputs)
    if not outputs <= 10 * tolerance:
        return compared(False, f"the weights agree {how}, but the outputs differ by {outputs:.1e}")
    return compared(True, f"the weights agree {how}, to {deviation:.1e}")


def _difference(one: Graph, other: Graph) -> str:
    """Return how the graphs differ; an empty string if they do not, up to the names."""
    if len(one.shapes) != len(other.shapes):
        return f"one model has {len(one.shapes)} parameter tensors, the other {len(other.shapes)}"
    for first, second in zip(one.shapes, other.shapes, strict=True):
        if one.shapes[first] != other.shapes[second]:
            return f"{first} is of shape {one.shapes[first]}, {second} of {other.shapes[second]}"
        for end in ("head", "tail"):
            if not torch.equal(getattr(one.edges[first], end).cpu(), getattr(other.edges[second], end).cpu()):
                return f"{first} and {second} connect different channels"
    return ""


def _without_dead(graph: Graph, weights: Weights) -> dict[str, Tensor]:
    """Set the weights of channels to zero that no path of non-zero weights leads through; the function stays."""
    is_alive = alive(graph, weights)
    if is_alive.all():
        return dict(weights)
    is_alive |= ~_connected(graph)
    return {
        name: w * (graph.edges[name].at_heads(is_alive) & graph.edges[name].at_tails(is_alive))
        for name, w in weights.items()
    }


def _connected(graph: Graph) -> Tensor:
    """Return a mask that is True at classes that lie between anchors whatever the weights are, ``(K + 1,)``.

    Others are what is divided by, with no weights into them, and what no output reads.
    """
    return alive(graph, {name: torch.ones(shape) for name, shape in graph.shapes.items()})


def _deviation(first: Weights, second: Weights) -> float:
    """Return the largest difference, relative to the largest weight of the tensor."""
    worst = 0.0
    for name, w in second.items():
        largest = max(first[name].abs().max().item(), w.abs().max().item()) if w.numel() else 0.0
        if largest:
            worst = max(worst, (first[name] - w).abs().max().item() / largest)
    return worst


@torch.no_grad()
def _output_deviation(model_a: nn.Module, model_b: nn.Module, inputs: Tensor) -> float:
    outputs = []
    for model in (model_a, model_b):
        like = next(model.parameters())
        with _evaluating(model):
            leaves = pytree.tree_leaves(
                model(inputs.to(like) if inputs.is_floating_point() else inputs.to(like.device))
            )
        outputs.append({str(i): o.double().cpu() for i, o in enumerate(leaves) if isinstance(o, Tensor)})
    if [o.shape for o in outputs[0].values()] != [o.shape for o in outputs[1].values()]:
        return float("inf")
    return _deviation(*outputs)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and afterwards each module's own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
