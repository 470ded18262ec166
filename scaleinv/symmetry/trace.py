"""From a PyTorch model to its description."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from scaleinv.symmetry import rules as _rules  # noqa: F401  (registers the rules)
from scaleinv.symmetry.classes import ANCHOR, Activation, Classes, Entries
from scaleinv.symmetry.graph import Block, Edges, Graph
from scaleinv.symmetry.group import require_finite
from scaleinv.symmetry.labelling import Labelling, is_labelled
from scaleinv.symmetry.network import Layer, Network, UnsupportedNetworkError, fresh
from scaleinv.symmetry.program import Program

# Parameter names of each covered type. A module with any other may compute something else, and is refused.
_PARAMETERS: dict[type[nn.Module], frozenset[str]] = {
    nn.Linear: frozenset({"weight", "bias"}),
    **dict.fromkeys((nn.Sequential, nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Dropout, nn.Flatten), frozenset()),
}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def describe(model: nn.Module, example: Tensor | None = None) -> Network:
    """Find the channel classes and edges of a model, which is not changed.

    Any model that ``torch.export`` traces is covered. The description holds for evaluation and for training mode:
    both are traced, and channels are anchored that either mode does not allow to be rescaled. ``anchors`` of the
    result says which operations keep how many classes from being rescaled, and why.

    A chain is described without an example: ``nn.Sequential``, nested or not, of Linear, ReLU, LeakyReLU, Identity,
    Dropout and a leading Flatten, of exactly these types, without hooks, parametrizations and shared weights.

    Args:
        model: the model.
        example: inputs ``(batch, *shape)``; only their shape, dtype and device matter. Small images do.

    Returns:
        Its description, under the model's own parameter names.

    Raises:
        UnsupportedNetworkError: a part cannot be described; the message names the part, the reason and a remedy.
    """
    try:
        return _describe_chain(model)
    except UnsupportedNetworkError as error:
        if example is None:
            raise UnsupportedNetworkError(f"{error}; or describe it by an example of its inputs") from error
    return _describe_traced(model, example)


def _describe_traced(model: nn.Module, example: Tensor) -> Network:
    """Label the channels in the operations of both modes."""
    parameters = {name: p.shape for name, p in model.named_parameters()}
    classes = Classes(parameters)
    visit = Labelling(classes)
    programs = [Program.trace(model, example, training) for training in (False, True)]
    evaluation = programs[0]
    for i, program in enumerate(programs):
        if program.writes_in_place:
            programs[i] = Program.trace(model, example, training=i == 1, functional=True)
    for program in programs:
        tensors = {name: Entries(shape, name) for name, shape in parameters.items()}
        buffers = {name: b.detach().clone().cpu() for name, b in model.named_buffers() if name in program.names}
        images = torch.tensor(ANCHOR).expand(program.batch or 1, *program.inputs)
        outputs = program.run({**tensors, **buffers}, Activation(images, example.dtype), visit)
        leaves = [leaf for leaf in pytree.tree_leaves(outputs, is_leaf=is_labelled) if is_labelled(leaf)]
        for leaf in leaves:
            classes.anchor(visit.labels(leaf, program.operations[-1]), None, "is what the network returns")
    settled = classes.settle()
    return Network(
        partial(fresh, model),
        settled.graph,
        programs[0].inputs,
        sum(leaf.labels[0].numel() for leaf in leaves if isinstance(leaf, Activation)),
        anchors=settled.anchors,
        traced=evaluation,
    )


def _describe_chain(model: nn.Module) -> Network:
    layers: list[Layer] = []
    shapes: dict[str, tuple[int, ...]] = {}
    names: dict[int, str] = {}
    for name, part in _parts(model):
        match part:
            case nn.Linear():
                prefix = f"{name}." if name else ""
                for tensor in ("weight", "bias") if part.bias is not None else ("weight",):
                    parameter = part._parameters.get(tensor)
                    if parameter is None:
                        raise UnsupportedNetworkError(f"{_place(name, part)}: its {tensor} is not a parameter")
                    first = names.setdefault(_memory(parameter), f"{prefix}{tensor}")
                    if first != f"{prefix}{tensor}":
                        raise UnsupportedNetworkError(
                            f"{_place(name, part)}: its {tensor} is used twice, first as {first};"
                            " give every layer tensors of its own"
                        )
                    shapes[f"{prefix}{tensor}"] = tuple(parameter.shape)
                layers.append(Layer(f"{prefix}weight", None if part.bias is None else f"{prefix}bias", None))
            case nn.ReLU() | nn.LeakyReLU():
                if not layers or layers[-1].slope is not None:
                    raise UnsupportedNetworkError(f"{_place(name, part)}: an activation must follow a Linear")
                slope = 0.0 if isinstance(part, nn.ReLU) else float(part.negative_slope)
                layers[-1] = Layer(layers[-1].weight, layers[-1].bias, slope)
            case nn.Identity() | nn.Dropout():
                pass
            case nn.Flatten():
                if layers or (part.start_dim, part.end_dim) != (1, -1):
                    raise UnsupportedNetworkError(
                        f"{_place(name, part)}: a Flatten must come first and flatten all dims but that of the batch"
                    )
    if not layers:
        raise UnsupportedNetworkError("the model has no Linear layer")
    outputs, inputs = shapes[layers[-1].weight][0], shapes[layers[0].weight][1]
    return Network(partial(fresh, model), _chain_graph(layers, shapes), (inputs,), outputs, tuple(layers))


def read_weights(model: nn.Module, graph: Graph) -> dict[str, Tensor]:
    """Return contiguous copies of a described model's weights, under its own names.

    Raises:
        UnsupportedNetworkError: there are none.
        ValueError: a weight is NaN or infinite; the message names the tensor.
    """
    if not graph.shapes:
        raise UnsupportedNetworkError("the model has no parameters, so there are no weights to move")
    weights = {
        name: model.get_parameter(name).detach().clone(memory_format=torch.contiguous_format) for name in graph.shapes
    }
    require_finite(weights)
    return weights


def _parts(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Flatten nested Sequentials into (dotted name, module) pairs, in order of application."""
    _require_plain(prefix, model)
    if not isinstance(model, nn.Sequential):
        return [(prefix, model)]
    return [
        pair
        for name, child in model._modules.items()  # named_children() leaves repeated modules out
        if child is not None
        for pair in _parts(child, f"{prefix}.{name}" if prefix else name)
    ]


def _require_plain(name: str, module: nn.Module) -> None:
    """Refuse a module that may compute something else than its type does."""
    place = _place(name, module)
    if parametrize.is_parametrized(module):
        tensors = ", ".join(module.parametrizations)  # type: ignore[arg-type]
        raise UnsupportedNetworkError(
            f"{place}: its {tensors} is parametrized; make it an ordinary tensor first"
            " (torch.nn.utils.parametrize.remove_parametrizations)"
        )
    if type(module) not in _PARAMETERS:
        base = next((kind.__name__ for kind in _PARAMETERS if isinstance(module, kind)), None)
        if base:
            raise UnsupportedNetworkError(
                f"{place} is a subclass of {base} and may compute something else; put a plain nn.{base} in its place"
            )
        raise UnsupportedNetworkError(
            f"{place} is not covered: only Sequential models of Linear, ReLU, LeakyReLU, Identity, Dropout and a"
            " leading Flatten are described so far; of a wrapped model (compiled, parallel) give the inner one"
        )
    if extra := sorted(module._parameters.keys() - _PARAMETERS[type(module)]):
        raise UnsupportedNetworkError(
            f"{place} has the parameter {', '.join(extra)}, which a plain one has not; undo weight_norm, spectral_norm"
            " or pruning first (remove_weight_norm, remove_spectral_norm, prune.remove)"
        )
    if "forward" in vars(module):
        raise UnsupportedNetworkError(f"{place} has a forward of its own; delete that attribute")
    if hooks := [hook.strip("_").replace("_", " ") for hook in _HOOKS if getattr(module, hook)]:
        raise UnsupportedNetworkError(
            f"{place} has {', '.join(hooks)}, which may change what it computes; remove them (handle.remove())"
        )


def _place(name: str, module: nn.Module) -> str:
    return f"module {name or '(the model)'} ({type(module).__name__})"


def _memory(parameter: Tensor) -> int:
    """Return the address of a parameter's data; on the meta device, which has none, the identity of the object."""
    return parameter.data_ptr() or id(parameter)


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
            blocks.append(Block(start, start + width))
            start += width
        edges[layer.weight] = Edges(head[:, None], tail[None, :])
        if layer.bias is not None:
            edges[layer.bias] = Edges(head, torch.zeros(1, dtype=torch.long))
        tail = head
    return Graph(shapes, edges, tuple(blocks))
