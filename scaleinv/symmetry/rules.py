"""What operations that compute do to the labels of channels (maths.md, section 1)."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from scaleinv.symmetry.classes import ANCHOR, ZERO, Activation, Entries
from scaleinv.symmetry.labelling import (
    HOMOGENEOUS,
    SATURATES,
    Arguments,
    Labelling,
    anchored_like,
    is_labelled,
    rule,
    run_on_numbers,
)
from scaleinv.symmetry.program import Operation

# Mix the places of a channel, with exact zeros or minus infinity around them.
POOLS = (
    *(f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_max", "adaptive_avg") for n in (1, 2, 3)),
    *(f"max_pool{n}d_with_indices" for n in (1, 2, 3)),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "fractional_max_pool2d", "fractional_max_pool3d"),
)
# Reductions and orders along dims, r(a x) = a r(x) for a > 0.
REDUCTIONS = (
    *("sum", "mean", "amax", "amin", "max", "min", "median", "nanmedian", "cumsum", "std", "linalg_vector_norm"),
    *("norm", "nansum", "nanmean", "topk", "sort", "kthvalue"),
)

_PRODUCT = "multiplies two values that both depend on the input: the second may not be rescaled"
_DIVIDES = "divides by a value that depends on the input"
_CHOOSES = "chooses by a value that depends on the input"
_ATTENDS = "compares queries with keys, which is curved"


@rule(*HOMOGENEOUS)
def homogeneous(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Functions of one element with f(a x) = a f(x) for a > 0 keep the labels."""
    if "weight" in args:  # the slopes of a PReLU are the same under every rescaling
        self.anchor(args["weight"], at, "")
    if at.short not in ("to", "_to_copy", "type_as"):
        return args.data if is_labelled(args.data) else NotImplemented
    if isinstance(args.data, Activation) and args.result.dtype.is_floating_point:
        return Activation(args.data.labels, args.result.dtype)
    return args.data if isinstance(args.data, Entries) else NotImplemented


@rule("clamp", "clamp_min", "hardtanh", "threshold")
def clipped_at_zero(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Clipping from below at zero, and nowhere else, is a ReLU."""
    low = args.get("min", args.get("min_val", args.get("threshold")))
    high = args.get("max", args.get("max_val"))
    is_relu = low == 0 and (high is None or high == float("inf")) and args.get("value", 0) == 0
    return args.data if is_relu and isinstance(args.data, Activation) else NotImplemented


@rule("add", "sub", "rsub", "maximum", "minimum", "fmax", "fmin", "hypot")
def combined(self: Labelling, at: Operation, args: Arguments) -> Any:
    """What meets element by element has one scale; a parameter leads from the anchor (a bias, for example)."""
    return self.joined(args["self"], args["other"], at)


@rule("where")
def chosen(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Elements of one or the other have one scale; a condition may not be rescaled."""
    if "self" not in args:
        return NotImplemented
    self.anchor(args["condition"], at, _CHOOSES)
    both = self.joined(args["self"], args["other"], at)
    return Activation(both.labels.expand(args.result.shape))


@rule("masked_fill")
def filled(self: Labelling, at: Operation, args: Arguments) -> Any:
    """A constant in some places."""
    mask, value = args["mask"], args["value"]
    if not isinstance(args["self"], Activation) or isinstance(value, Tensor) or is_labelled(value):
        return NotImplemented
    filling = torch.tensor(ZERO if value == 0 else ANCHOR)
    if not is_labelled(mask):
        return Activation(torch.where(mask, filling, args["self"].labels))
    self.anchor(mask, at, _CHOOSES)
    filled = self.joined(args["self"], value, at).labels
    return Activation(filled.expand(args.result.shape))


@rule("mul", "multiply")
def multiplied(self: Labelling, at: Operation, args: Arguments) -> Any:
    """A constant factor keeps the labels; a parameter's entries lead to new channels."""
    return _product(self, at, args["self"], args["other"])


@rule("addcmul")
def product_added(self: Labelling, at: Operation, args: Arguments) -> Any:
    """A product, added."""
    return self.joined(args["self"], _product(self, at, args["tensor1"], args["tensor2"]), at)


def _product(self: Labelling, at: Operation, x: Any, y: Any) -> Any:
    if not is_labelled(x) or (isinstance(x, Entries) and isinstance(y, Activation)):
        x, y = y, x
    if not is_labelled(y):
        shape = torch.broadcast_shapes(_shape(x), getattr(y, "shape", ()))
        return self.viewed(x, lambda t: t.expand(shape))
    if isinstance(y, Entries):
        return self.scaled(self.labels(x, at), y, at)
    first, second = torch.broadcast_tensors(x.labels, y.labels)
    one, other = self.classes.are_anchored(first), self.classes.are_anchored(second)
    self.classes.anchor(second[~one & ~other & (first != ZERO)], at, _PRODUCT)
    is_zero = (first == ZERO) | (second == ZERO)
    return Activation(torch.where(is_zero, ZERO, torch.where(one & ~other, second, first)))


@rule("div", "divide", "true_divide")
def divided(self: Labelling, at: Operation, args: Arguments) -> Any:
    """A divisor that depends on the input may not be rescaled; a parameter's entries lead the other way."""
    x, y = args["self"], args["other"]
    if args.get("rounding_mode") is not None:
        return NotImplemented
    if not is_labelled(y):
        return self.viewed(x, lambda t: t.expand(args.result.shape))
    if isinstance(y, Entries) and is_labelled(x):
        return self.scaled(self.labels(x, at), y, at, divides=True)
    self.anchor(y, at, _DIVIDES)
    return Activation(self.labels(x, at).expand(args.result.shape))


@rule("gt", "lt", "ge", "le", "eq", "ne")
def compared(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Whether a number is positive does not change under a rescaling."""
    is_sign = not isinstance(args["other"], Tensor) and not is_labelled(args["other"]) and args["other"] == 0
    return anchored_like(args.results) if is_sign else NotImplemented


@rule("sign", "sgn", "signbit")
def sign(self: Labelling, at: Operation, args: Arguments) -> Any:
    """The sign does not change under a rescaling."""
    return anchored_like(args.results)


@rule(*POOLS)
def pooled(self: Labelling, at: Operation, args: Arguments) -> Any:
    """The places of a channel have one scale; windows may overlap."""
    if not isinstance(args.data, Activation):
        return NotImplemented
    labels, spatial = args.data.labels, int(next(c for c in at.short if c.isdigit()))
    return _mixed(self, at, args, labels, list(range(labels.dim() - spatial, labels.dim())))


@rule(*REDUCTIONS)
def reduced(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Sums, largest values, norms and orders along dims."""
    if "other" in args:
        return combined(self, at, args)
    if not isinstance(args.data, Activation) or args.get("ord", args.get("p", 2)) == 0:
        return NotImplemented
    labels, dims = args.data.labels, args.get("dim")
    dims = [dims] if isinstance(dims, int) else list(dims or range(labels.dim()))
    return _mixed(self, at, args, labels, [dim % labels.dim() for dim in dims] if labels.dim() else [])


def _mixed(self: Labelling, at: Operation, args: Arguments, labels: Tensor, dims: list[int]) -> Any:
    """Join labels along dims and spread them over the first result; further results are places."""
    labels = self.uniform(labels, dims, at)
    if args.result.dim() < labels.dim():
        labels = labels.squeeze(dims)
    result = Activation(labels.expand(args.result.shape))
    return (result, *anchored_like(args.results)[1:]) if isinstance(args.results, tuple) else result


@rule("glu")
def gated(self: Labelling, at: Operation, args: Arguments) -> Any:
    """The second half goes through a sigmoid; the first half is multiplied by it."""
    if not isinstance(args.data, Activation):
        return NotImplemented
    value, gate = args.data.labels.chunk(2, args["dim"])
    self.classes.anchor(gate, at, SATURATES)
    return Activation(value)


@rule("conv1d", "conv2d", "conv3d")
def convolution(self: Labelling, at: Operation, args: Arguments) -> Any:
    """One new channel for each output channel; entry ``(o, i)`` leads from the i-th channel of o's group."""
    return _convolved(self, at, args, args["weight"])


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(self: Labelling, at: Operation, args: Arguments) -> Any:
    """As a convolution; the kernel is ``(in, out / groups, ...)``."""
    groups = args["groups"]

    def ordinary(kernel: Tensor) -> Tensor:
        by_group = kernel.unflatten(0, (groups, -1)).transpose(1, 2)
        return by_group.reshape(-1, *by_group.shape[2:])

    return _convolved(self, at, args, self.viewed(args["weight"], ordinary))


def _convolved(self: Labelling, at: Operation, args: Arguments, kernel: Any) -> Activation:
    x, shape, groups = self.labels(args["input"], at), _shape(kernel), args["groups"]
    channel = x.dim() - len(shape) + 1
    tail = self.uniform(x, [d for d in range(x.dim()) if d != channel], at).flatten()
    if groups > 1:
        tail = tail.view(groups, 1, -1).expand(groups, shape[0] // groups, -1).reshape(shape[0], -1)
    labels = _weighted(self, at, kernel, tail.view(-1, shape[1]), args["bias"])
    return Activation(labels.view(-1, *[1] * (len(shape) - 2)).expand(args.result.shape))


@rule("linear")
def linear(self: Labelling, at: Operation, args: Arguments) -> Any:
    """One new channel for each output; entry ``(o, i)`` leads from input i."""
    x = self.labels(args["input"], at)
    tail = self.uniform(x, list(range(x.dim() - 1)), at).view(1, -1)
    return Activation(_weighted(self, at, args["weight"], tail, args["bias"]).expand(args.result.shape))


def _weighted(self: Labelling, at: Operation, weight: Any, tail: Tensor, bias: Any) -> Tensor:
    """Return the labels of the channels that a weight writes, ``(out,)``.

    Args:
        self: the visitor.
        at: the operation.
        weight: ``(out, in, ...)``: entries of a parameter, a constant, or something that is computed.
        tail: labels that it reads, ``(out or 1, in)``.
        bias: added to the outputs, or None.
    """
    shape = _shape(weight)
    if isinstance(weight, Entries):
        labels = self.classes.fresh(shape[0])
        taps = [1] * (len(shape) - 2)
        self.classes.connect(weight, labels.view(-1, 1, *taps), tail.reshape(*tail.shape, *taps), at)
    elif isinstance(weight, Activation) and not self.classes.are_anchored(weight.labels).all():
        self.classes.anchor(tail, at, _PRODUCT)
        labels = self.uniform(weight.labels, list(range(1, len(shape))), at).flatten()
    else:
        used = torch.ones(shape[:2], dtype=torch.bool)
        if isinstance(weight, Tensor):
            used = (weight != 0).flatten(2).any(2) if weight.dim() > 2 else weight != 0
        labels = self.uniform(torch.where(used, tail, ZERO), [1], at).flatten()
    if isinstance(bias, Entries) and (labels != ZERO).all():
        self.classes.connect(bias, labels, torch.tensor([ANCHOR]), at)
        return labels
    return labels if bias is None else self.joined(Activation(labels), bias, at).labels


@rule("matmul", "mm", "bmm", "mv", "dot")
def matrix_product(self: Labelling, at: Operation, args: Arguments) -> Any:
    """As a linear map, if one factor is a parameter, a constant, or may not be rescaled."""
    x, y = list(args.values())[:2]
    return _contracted(self, at, x, y, args.result)


@rule("einsum")
def contraction(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Two factors, each letter once in each and none summed over in one factor alone: a matrix product."""
    inputs, _, output = args["equation"].replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != 2 or "->" not in args["equation"] or not all(map(str.isalpha, (*letters, output))):
        return NotImplemented
    first, second = letters
    both = [c for c in first if c in second]
    groups = {
        "batch": [c for c in both if c in output],
        "summed": [c for c in both if c not in output],
        "first": [c for c in first if c not in second],
        "second": [c for c in second if c not in first],
    }
    if any(len(set(word)) < len(word) for word in letters) or {*groups["first"], *groups["second"]} - {*output}:
        return NotImplemented
    sizes = dict(zip(first + second, (*_shape(args["tensors"][0]), *_shape(args["tensors"][1])), strict=True))

    def lengths(*names: str) -> list[int]:
        return [sizes[c] for name in names for c in groups[name]]

    def matrices(number: int, rows: str, columns: str) -> Any:
        order = [letters[number].index(c) for name in ("batch", rows, columns) for c in groups[name]]
        shape = (*lengths("batch"), prod(lengths(rows)), prod(lengths(columns)))
        return self.viewed(args["tensors"][number], lambda t: t.permute(order).reshape(shape))

    shape = (*lengths("batch"), prod(lengths("first")), prod(lengths("second")))
    x, y = matrices(0, "first", "summed"), matrices(1, "summed", "second")
    labels = _contracted(self, at, x, y, torch.empty(shape, device="meta")).labels
    written = [*groups["batch"], *groups["first"], *groups["second"]]
    return Activation(labels.reshape(lengths("batch", "first", "second")).permute([written.index(c) for c in output]))


@rule("_weight_norm")
def weight_norm(self: Labelling, at: Operation, args: Arguments) -> Any:
    """``g v / |v|``: the size of what a row writes is that of its g; v may not be rescaled together with anything."""
    if not isinstance(args["g"], Entries):
        return NotImplemented
    self.anchor(args["v"], at, "divides it by its norm")
    return Activation(self.labels(args["g"], at).expand(args.result.shape))


@rule("addmm", "baddbmm", "addmv")
def matrix_product_added(self: Labelling, at: Operation, args: Arguments) -> Any:
    """A matrix product, added."""
    added, x, y = list(args.values())[:3]
    return self.joined(added, _contracted(self, at, x, y, args.result), at)


def _contracted(self: Labelling, at: Operation, x: Any, y: Any, result: Tensor) -> Activation:
    """Return labels of ``x @ y``."""
    if len(_shape(x)) == 1:
        x = self.viewed(x, lambda t: t[None])
    if len(_shape(y)) == 1:
        y = self.viewed(y, lambda t: t[:, None])
    if isinstance(y, Entries):
        labels = _through(self, at, self.labels(x, at), y)
    elif isinstance(x, Entries):
        labels = _through(self, at, self.labels(y, at).mT, self.viewed(x, lambda t: t.mT)).mT
    elif isinstance(y, Tensor):
        labels = _through_fixed(self, at, x.labels, y != 0)
    elif isinstance(x, Tensor):
        labels = _through_fixed(self, at, y.labels.mT, x.mT != 0).mT
    elif self.classes.are_anchored(x.labels).all() and not self.classes.are_anchored(y.labels).all():
        labels = _through_fixed(self, at, y.labels.mT, torch.ones_like(x.labels.mT, dtype=torch.bool)).mT
    else:
        self.classes.anchor(y.labels, at, _PRODUCT)
        labels = _through_fixed(self, at, x.labels, torch.ones_like(y.labels, dtype=torch.bool))
    missing = labels.dim() - result.dim()
    return Activation(labels.squeeze(-1 if labels.shape[-1] == 1 else -2) if missing else labels)


def _through(self: Labelling, at: Operation, x: Tensor, weight: Entries) -> Tensor:
    """Return labels of ``x @ weight``, ``(..., n, k) @ (..., k, m)``."""
    batch = torch.broadcast_shapes(x.shape[:-2], weight.shape[:-2])
    shape = (*batch, x.shape[-2], weight.shape[-1])
    own = [1] * (len(batch) + 2 - len(weight.shape)) + list(weight.shape)
    tail = x.expand(*batch, *x.shape[-2:])
    tail = self.uniform(tail, [d for d in range(len(own) - 1) if own[d] == 1 or d == len(batch)], at).mT
    new = self.classes.fresh(torch.Size(own[:-2]).numel() * own[-1]).view(*own[:-2], 1, own[-1])
    head = new
    if len(weight.shape) == 2:
        head, tail = new.reshape(1, -1), tail.reshape(-1, 1)
    self.classes.connect(weight, head, tail, at)
    return new.expand(shape)


def _through_fixed(self: Labelling, at: Operation, x: Tensor, used: Tensor) -> Tensor:
    """Return labels of ``x @ weights``, ``(..., n, k) @ (..., k, m)``, of fixed weights, not zero where used."""
    shape = (*torch.broadcast_shapes(x.shape[:-2], used.shape[:-2]), x.shape[-2], used.shape[-1])
    if used.all():
        return self.uniform(x, [x.dim() - 1], at).expand(shape)
    read = torch.where(used.unsqueeze(-3), x.unsqueeze(-1), ZERO)
    return self.uniform(read, [read.dim() - 2], at).squeeze(-2).expand(shape)


@rule("scaled_dot_product_attention")
def attention(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Queries and keys are compared, which is curved; values are averaged over places."""
    if not isinstance(args["value"], Activation) or args.get("enable_gqa"):
        return NotImplemented
    for name in ("query", "key", "attn_mask"):
        self.anchor(args[name], at, _ATTENDS)
    values = args["value"].labels
    return Activation(self.uniform(values, [values.dim() - 2], at).expand(args.result.shape))


@rule("embedding")
def embedded(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Every row of the table is written to the same channels, unless it is known which row is read."""
    table, indices = args["weight"], args["indices"]
    if not isinstance(table, Entries):
        return NotImplemented
    if not is_labelled(indices):
        return self.viewed(table, lambda t: t[indices])
    labels = self.classes.fresh(table.shape[1])
    self.classes.connect(table, labels[None], torch.tensor([[ANCHOR]]), at)
    return Activation(labels.expand(args.result.shape))


@rule("batch_norm", "instance_norm", "group_norm")
def normalised_channels(self: Labelling, at: Operation, args: Arguments) -> Any:
    """What comes in is anchored; gamma and beta lead from the anchor to new channels (maths.md, 2.6)."""
    result = _normalised(self, at, args, [1])
    # Functional forms return statistics too.
    return (result, *[torch.zeros(())] * (at.returns - 1)) if at.returns > 1 else result


@rule("copy")
def copied(self: Labelling, at: Operation, args: Arguments) -> Any:
    """The second in the shape of the first."""
    return Activation(self.labels(args["src"], at).expand(_shape(args["self"])))


@rule("layer_norm", "rms_norm")
def normalised_rows(self: Labelling, at: Operation, args: Arguments) -> Any:
    """What comes in is anchored; gamma and beta lead from the anchor to new channels."""
    dims = len(_shape(args["input"]))
    return _normalised(self, at, args, list(range(dims - len(args["normalized_shape"]), dims)))


def _normalised(self: Labelling, at: Operation, args: Arguments, dims: list[int]) -> Any:
    weight, bias = args["weight"], args.get("bias")
    if isinstance(weight, Activation) or isinstance(bias, Activation):
        return NotImplemented
    eps = args.get("eps")
    eps = "an eps" if args.get("eps") is None else f"eps={args['eps']:g}"
    self.anchor(args["input"], at, f"divides what it reads by a deviation that includes {eps}")
    shape = _shape(args["input"])
    own = [size if d in dims else 1 for d, size in enumerate(shape)]
    result = Activation(torch.tensor(ANCHOR).expand(shape))
    if weight is not None:
        result = _product(self, at, result, self.reshaped(weight, own))
    return result if bias is None else self.joined(result, self.reshaped(bias, own), at)


@rule("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack")
def gathered(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Elements beside each other keep their labels."""
    parts, *rest = args.values()
    if all(isinstance(part, Entries) for part in parts):
        numbers = run_on_numbers(at.target, [self.classes.numbers(part) for part in parts], *rest)
        return Entries(numbers.shape, None, numbers)
    return Activation(run_on_numbers(at.target, [self.labels(part, at) for part in parts], *rest))


@rule("slice_scatter", "select_scatter")
def scattered(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Some elements are replaced by others."""
    into, source, *places = args.values()
    return Activation(run_on_numbers(at.target, self.labels(into, at), self.labels(source, at), *places))


@rule("constant_pad_nd", "pad")
def padded(self: Labelling, at: Operation, args: Arguments) -> Any:
    """Zeros around the elements join nothing; other constants are the anchor."""
    filled = args.get("mode", "constant") == "constant" and args.get("value")
    if not filled:
        return self.viewed(args.data, lambda t: run_on_numbers(at.target, t, *list(args.values())[1:]))
    if not isinstance(args.data, Activation):
        return NotImplemented
    return Activation(torch.ops.aten.constant_pad_nd(args.data.labels, args["pad"], ANCHOR))


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.labels.shape if isinstance(value, Activation) else value.shape)
