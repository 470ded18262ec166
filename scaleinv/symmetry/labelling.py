"""A visitor of programs that passes on the labels of channels instead of activations.

Operations that only move data are run on the labels themselves; those that compute have a rule (rules.py); those that
are not positively homogeneous, and those without a rule, anchor what they read and pass on the anchor.
"""

import operator
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from scaleinv.symmetry.classes import ANCHOR, ZERO, Activation, Classes, Entries, compact
from scaleinv.symmetry.program import Operation, UnsupportedNetworkError

# Copy elements of the first argument to other places, or put exact zeros between them.
MOVES = frozenset(
    {
        *("view", "_unsafe_view", "reshape", "view_as", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"),
        *("permute", "transpose", "t", "mT", "numpy_T", "swapaxes", "swapdims", "movedim", "moveaxis", "expand"),
        *("expand_as", "broadcast_to", "repeat", "repeat_interleave", "tile", "select", "slice", "narrow", "diagonal"),
        *("index_select", "index", "gather", "take_along_dim", "chunk", "split", "split_with_sizes", "tensor_split"),
        *("unsafe_chunk", "unsafe_split", "unbind", "unfold", "roll", "flip", "fliplr", "flipud", "rot90", "im2col"),
        *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "tril", "triu", "hsplit"),
        *(f"{kind}{n}d" for kind in ("upsample_nearest", "_upsample_nearest_exact") for n in (1, 2, 3)),
        *(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)),
        *("_pad_circular", "vsplit", "atleast_1d", "atleast_2d", "atleast_3d"),
    }
)
# Functions of one element with f(a x) = a f(x) for a > 0; dropout is among them.
HOMOGENEOUS = frozenset(
    {
        *("relu", "leaky_relu", "prelu", "abs", "absolute", "neg", "negative", "dropout", "feature_dropout", "rrelu"),
        *("clone", "contiguous", "detach", "alias", "lift_fresh_copy", "lift_fresh", "positive", "nan_to_num"),
        *("_to_copy", "to", "type_as"),
    }
)
FACTORIES = frozenset({"new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like"})

SATURATES = "saturates, so it does not commute with a rescaling"
_CLIPS = "clips at a constant, so it does not commute with a rescaling"
_CURVED = "is curved, so it does not commute with a rescaling"
_WHY = {
    **dict.fromkeys(("tanh", "sigmoid", "softsign", "erf", "atan", "log_sigmoid", "sin", "cos"), SATURATES),
    **dict.fromkeys(("hardtanh", "relu6", "clamp", "clamp_min", "clamp_max", "clip", "hardsigmoid"), _CLIPS),
    **dict.fromkeys(("hardswish", "threshold", "hardshrink", "softshrink"), _CLIPS),
    **dict.fromkeys(("gelu", "silu", "mish", "softplus", "elu", "selu", "celu", "exp", "log", "pow"), _CURVED),
    **dict.fromkeys(("sqrt", "rsqrt", "square", "var", "alpha_dropout", "feature_alpha_dropout"), _CURVED),
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "_log_softmax"), "is curved in all that it reads"),
}
_UNKNOWN = "has no rule here, so nothing that it reads may be rescaled"
_ADDS_CONSTANT = "adds a constant"
_MEETS = "combines what it reads with values that may not be rescaled"

Rule = Callable[["Labelling", Operation, "Arguments"], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule of operations by their short names; a rule returns NotImplemented where it does not hold."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class Labelling:
    """A visitor of a program that passes on labels instead of the activations of one image."""

    def __init__(self, classes: Classes) -> None:
        """Begin; what is found out is kept in ``classes``."""
        self.classes = classes

    def __call__(self, at: Operation, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Return the labels of an operation's result; of what does not depend on the input, the result itself."""
        leaves = pytree.tree_leaves((args, kwargs), is_leaf=is_labelled)
        if not any(map(is_labelled, leaves)):
            with torch.no_grad():
                return at.target(*args, **kwargs)
        if at.target is operator.getitem:
            return args[0][args[1]]
        if at.short.startswith("sym_"):
            return at.target(*(_shape_of(a) for a in args))
        if at.writes_in_place:
            raise UnsupportedNetworkError(f"{at} works in place; describe the functional program")
        name = at.short
        try:
            result = self._ruled(at, args, kwargs, name)
        except UnsupportedNetworkError:
            raise
        except Exception as error:  # an unforeseen form of an operation costs its classes, not the description
            reason = str(error).strip().split("\n")[0]
            return self.refused(at, args, kwargs, f"cannot be followed here ({type(error).__name__}: {reason})")
        return self.refused(at, args, kwargs, _WHY.get(name, _UNKNOWN)) if result is NotImplemented else result

    def _ruled(self, at: Operation, args: tuple, kwargs: dict[str, Any], name: str) -> Any:
        """Apply the rule of an operation; NotImplemented if there is none."""
        result = RULES[name](self, at, Arguments(at, args, kwargs)) if name in RULES else NotImplemented
        if result is NotImplemented and name in MOVES:
            result = self._moved(at, args, kwargs)
        if result is NotImplemented and name in FACTORIES:
            return at.target(torch.empty(_shape_of(args[0]).shape), *args[1:], **kwargs)
        return result

    def refused(self, at: Operation, args: Any, kwargs: dict[str, Any], why: str) -> Any:
        """Anchor all that an operation reads; its results may not be rescaled."""
        for value in pytree.tree_leaves((args, kwargs), is_leaf=is_labelled):
            self.anchor(value, at, why)
        return anchored_like(Arguments(at, args, kwargs).results)

    def anchor(self, value: Any, at: Operation, why: str) -> None:
        """Forbid that a value, or a parameter, is rescaled."""
        if isinstance(value, Activation):
            self.classes.anchor(value.labels, at, why)
        elif isinstance(value, Entries):
            fixed = torch.full([1] * len(value.shape), ANCHOR)
            self.classes.connect(value, fixed, fixed, at)

    def labels(self, value: Any, at: Operation) -> Tensor:
        """Return the labels of any value; a parameter's are new ones, and its entries lead to them from the anchor."""
        match value:
            case Activation():
                return value.labels
            case Entries(shape, str()):
                new = self.classes.fresh(shape.numel()).view(shape)
                self.classes.connect(value, new, torch.full([1] * new.dim(), ANCHOR), at)
                return new
            case Entries():
                numbers = self.classes.numbers(value)
                used, inverse = numbers.unique(return_inverse=True)
                new = self.classes.fresh(len(used))
                new = torch.where(used == 0, ZERO, new)[inverse]
                self.classes.connect(value, new, torch.full([1] * new.dim(), ANCHOR), at)
                return new
            case Tensor():
                return torch.where(value == 0, ZERO, ANCHOR)
        return torch.tensor(ZERO if value == 0 else ANCHOR)

    def joined(self, first: Any, second: Any, at: Operation) -> Activation:
        """Return the labels of a combination of two values of equal scale."""
        both = is_labelled(first) and is_labelled(second)
        labels = self.labels(first, at), self.labels(second, at)
        return Activation(self.classes.join(*labels, at, _MEETS if both else _ADDS_CONSTANT))

    def uniform(self, labels: Tensor, dims: Sequence[int], at: Operation) -> Tensor:
        """Join labels along dims, which become 1 long."""
        return self.classes.uniform(labels, dims, at, _MEETS)

    def scaled(self, x: Tensor, entries: Entries, at: Operation, divides: bool = False) -> Activation:
        """Return labels of ``x * w`` or ``x / w``, elementwise: new channels, one for each label that an entry meets.

        An entry that meets several, such as one factor for a whole block, is as good as a constant: it keeps its value,
        and the channels keep their labels. (All of them could be rescaled alike, which no graph expresses.)
        """
        shape = torch.broadcast_shapes(x.shape, entries.shape)
        numbers, x = compact(self.classes.numbers(entries), x)
        if entries.name is not None and numbers.shape == entries.shape:  # every entry has one label to multiply
            new, is_used = torch.full(numbers.shape, ZERO), (x != ZERO).expand(numbers.shape)
            new[is_used] = self.classes.fresh(int(is_used.sum()))
            self.classes.connect(entries, *((x, new) if divides else (new, x)), at)
            return Activation(new.expand(shape))
        most = int(x.max()) + 1
        pairs, inverse = torch.where((numbers == 0) | (x == ZERO), 0, numbers * most + x).unique(return_inverse=True)
        _, place, counts = (pairs // most).unique(return_inverse=True, return_counts=True)
        labels = torch.where(pairs == 0, ZERO, pairs % most)
        is_alone = (counts[place] == 1) & (pairs > 0)
        labels[is_alone] = self.classes.fresh(int(is_alone.sum()))
        new, is_alone = labels[inverse], is_alone[inverse]
        head, tail = (torch.where(is_alone, end, ANCHOR) for end in ((x, new) if divides else (new, x)))
        self.classes.connect(Entries(numbers.shape, None, numbers), head, tail, at)
        return Activation(new.expand(shape))

    def viewed(self, value: Any, move: Callable[[Tensor], Tensor]) -> Any:
        """Move the elements of a value about."""
        match value:
            case Activation():
                return Activation(move(value.labels), value.dtype)
            case Entries():
                numbers = move(self.classes.numbers(value))
                return Entries(numbers.shape, None, numbers)
        return move(value)

    def reshaped(self, value: Any, shape: Sequence[int]) -> Any:
        """Reshape a value; a parameter's entries keep their order."""
        if isinstance(value, Entries) and value.name is not None:
            return Entries(torch.Size(shape), value.name)
        return self.viewed(value, lambda t: t.reshape(shape))

    def _moved(self, at: Operation, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Run an operation that moves data on the labels, or on the numbers of a parameter's entries."""
        moved = args[0]
        if not is_labelled(moved) or any(map(is_labelled, pytree.tree_leaves(args[1:], is_leaf=is_labelled))):
            shapes_only = at.short in ("expand_as", "view_as", "reshape_as")
            if not (shapes_only and is_labelled(moved)):
                return NotImplemented  # places that depend on the input
        labels = moved.labels if isinstance(moved, Activation) else self.classes.numbers(moved)
        results = run_on_numbers(at.target, labels, *(_shape_of(a) for a in args[1:]), **kwargs)

        def wrap(result: Tensor) -> Any:
            return self.viewed(moved, lambda _: result)

        return [wrap(r) for r in results] if isinstance(results, tuple | list) else wrap(results)


class Arguments(dict[str, Any]):
    """Arguments of an operation by the names in its schema, defaults included."""

    def __init__(self, at: Operation, args: tuple, kwargs: dict[str, Any]) -> None:
        """Name the arguments."""
        schema = getattr(at.target, "_schema", None)
        listed = schema.arguments if schema else []
        named = {a.name: value for a, value in zip(listed, args, strict=False)} | kwargs
        defaults = {a.name: a.default_value for a in listed if a.has_default_value()}
        super().__init__({a.name: (defaults | named)[a.name] for a in listed})
        self._call = (at, args, kwargs)

    @property
    def data(self) -> Any:
        """The first argument."""
        return self._call[1][0]

    @cached_property
    def results(self) -> Any:
        """The results, without values: their shapes and dtypes."""
        at, args, kwargs = self._call

        def abstract(value: Any) -> Any:
            value = _shape_of(value)
            if not isinstance(value, Tensor):
                return value
            return value.to("meta", torch.float32 if value.is_floating_point() else value.dtype)

        args, kwargs = pytree.tree_map(abstract, (args, kwargs), is_leaf=is_labelled)
        try:
            with torch.no_grad():
                return at.target(*args, **kwargs)
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise UnsupportedNetworkError(
                f"{at}: the shape of its result cannot be known ({type(error).__name__}: {reason}); shapes must not"
                " depend on the values of tensors"
            ) from error

    @property
    def result(self) -> Tensor:
        """The only result, or the first."""
        return self.results[0] if isinstance(self.results, tuple | list) else self.results


def is_labelled(value: Any) -> bool:
    """Return whether a value depends on the input or on parameters."""
    return isinstance(value, Activation | Entries)


def anchored_like(results: Any) -> Any:
    """Return the anchor instead of every tensor."""
    anchor = torch.tensor(ANCHOR)
    return pytree.tree_map(
        lambda r: Activation(anchor.expand(r.shape), r.dtype) if isinstance(r, Tensor) else r, results
    )


def _shape_of(value: Any) -> Any:
    """Return a tensor of the value's shape; anything else as it is."""
    if isinstance(value, Activation):
        dtype = torch.float32 if value.dtype.is_floating_point else value.dtype
        return torch.empty(value.labels.shape, dtype=dtype, device="meta")
    if isinstance(value, Entries):
        return torch.empty(value.shape, device="meta")
    return value


def run_on_numbers(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run an operation on whole numbers; some work on floats only, which hold whole numbers up to 2^53."""
    try:
        return target(*args, **kwargs)
    except (RuntimeError, NotImplementedError):
        # Either dims of stride 0 stop a view, or there is no kernel for whole numbers.
        try:
            return target(*pytree.tree_map(_written_out, args[:1]), *args[1:], **kwargs)
        except (RuntimeError, NotImplementedError):
            floats = pytree.tree_map(lambda a: _written_out(a).double(), args[:1])
            results = target(*floats, *args[1:], **kwargs)
            return pytree.tree_map(lambda r: r.long() if isinstance(r, Tensor) else r, results)


def _written_out(value: Any) -> Any:
    return value.contiguous() if isinstance(value, Tensor) else value
