"""Batch norms in evaluation mode are affine maps, which the layer before them can do."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from scaleinv.gauges._models import copied
from scaleinv.symmetry.program import Operation, Program, Value


@torch.no_grad()
def fold_batch_norm(model: nn.Module, example: Tensor, inplace: bool = False) -> nn.Module:
    """Fold batch norms into the convolution or linear layer before them; the function of evaluation mode stays.

    ``w -> w gamma / sqrt(var + eps)``, ``b -> beta + (b - mean) gamma / sqrt(var + eps)``, in float64, rounded once. An
    ``nn.Identity`` takes the place of the norm; the layer gets a bias if it has none. Norms that follow something else
    (a sum, a pool), or whose layer is used twice, stay. In training mode the result computes something else than the
    model did, whose norms used the statistics of the batch.

    Args:
        model: any model that ``torch.export`` traces.
        example: a batch of inputs.
        inplace: change this model, instead of a copy.

    Returns:
        The folded model; its parameters are new ones wherever a norm was folded.

    Raises:
        UnsupportedNetworkError: the model cannot be traced.
        ValueError: a folded weight would leave the range of its dtype.
    """
    folded = model if inplace else copied(model)
    pairs = list(_pairs(folded, Program.trace(model, example)))
    changed = [(layer, _folded(layer, norm)) for layer, norm, _ in pairs]
    for (layer, (weight, bias)), (_, _, path) in zip(changed, pairs, strict=True):
        trains = next(layer.parameters()).requires_grad
        layer.weight, layer.bias = nn.Parameter(weight, trains), nn.Parameter(bias, trains)
        owner, _, name = path.rpartition(".")
        setattr(folded.get_submodule(owner), name, nn.Identity())
    return folded


def _pairs(model: nn.Module, program: Program) -> Iterator[tuple[nn.Module, _BatchNorm, str]]:
    """Yield every layer with the norm after it, which nothing else reads, and the norm's path."""
    made_by = {at.name: at for at in program.operations}
    readers = Counter(name for at in program.operations for name in at.inputs)
    readers.update(name for name in made_by if _is_returned(program.outputs, name))
    calls = Counter(at.module for at in program.operations)
    for at in program.operations:
        if at.short != "batch_norm" or calls[at.module] != 1 or not isinstance(at.args[0], Value):
            continue
        before = made_by.get(at.args[0].name)
        if before is None or readers[before.name] != 1 or calls[before.module] != 1:
            continue
        layer, norm = _module(model, before), _module(model, at)
        if isinstance(layer, _ConvNd | nn.Linear) and isinstance(norm, _BatchNorm) and norm.running_mean is not None:
            is_shared = any(readers[f"{before.module}.{name}"] > 1 for name in ("weight", "bias"))
            is_changed = any(type(p) is not nn.Parameter for p in layer._parameters.values() if p is not None)
            if not is_shared and not is_changed and "weight" in layer._parameters:
                yield layer, norm, at.module


def _is_returned(outputs: object, name: str) -> bool:
    return any(isinstance(leaf, Value) and leaf.name == name for leaf in torch.utils._pytree.tree_leaves(outputs))


def _module(model: nn.Module, at: Operation) -> nn.Module | None:
    try:
        return model.get_submodule(at.module) if at.module else None
    except AttributeError:
        return None


def _folded(layer: nn.Module, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the layer that does the norm's work too."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if isinstance(layer.bias, Tensor):
        shift = shift + layer.bias.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if isinstance(layer, _ConvTransposeNd):
        # Its weight is (groups * in, out, ...): the outputs of a group stand beside one another.
        by_group = weight.double().unflatten(0, (layer.groups, -1))
        of_group = scale.view(layer.groups, 1, -1, *[1] * (weight.dim() - 2))
        scaled = (by_group * of_group).flatten(0, 1)
    else:
        scaled = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
    found = scaled.to(weight.dtype), shift.to(weight.dtype)
    if not all(t.isfinite().all() for t in found):
        raise ValueError(f"a folded weight would leave the range of {weight.dtype}; convert the model first")
    return found
