"""How every operation of a program maps sums over paths: the network of powers, operation by operation.

Each node's value is ``sum over paths to it of |v_p|^p``. Linear operations get coefficients ``|c|^p``. An activation
hands its input on, since no path loses from it, and max pooling adds its window up: a path per element, as in the
definition of path norms for networks with pooling (Gonon et al. 2024). Batch norm is the affine map of evaluation mode.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from scaleinv.symmetry.program import Operation, UnsupportedNetworkError

# What an activation reads is a node: ``node(operation, sums)`` may replace its value.
NodeVisitor = Callable[[Operation, Tensor], Tensor]
Power = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sums:
    """Values that depend on the inputs: sums over paths. Every other value of a run is a weight or a constant.

    Attributes:
        tensor: sums over the paths to every element.
    """

    tensor: Tensor


class PathVisitor:
    """Visitor of a run (:meth:`scaleinv.symmetry.program.Program.run`) that starts from :class:`Sums` of ones."""

    def __init__(
        self, p: float, power: Power, node: NodeVisitor | None = None, parameters: frozenset[str] = frozenset()
    ) -> None:
        """Choose what is summed.

        Args:
            p: exponent.
            power: ``|w|^p``, applied to every weight and constant that multiplies or adds to a path.
            node: see :data:`NodeVisitor`.
            parameters: names of tensors that must reach a path as they are, so that derivatives by them are right.
        """
        self._parameters = set(parameters)
        self.p, self.power, self.node = p, power, node

    def at_nodes(self, node: NodeVisitor) -> "PathVisitor":
        """Return the same visitor with another visitor of nodes."""
        return PathVisitor(self.p, self.power, node, frozenset(self._parameters))

    @property
    def is_diagonal(self) -> bool:
        """Whether derivatives are by the squares of weights: see :class:`Square`."""
        return self.power == Square.apply

    def __call__(self, at: Operation, args: tuple, kwargs: dict) -> Any:
        """Compute one operation on sums.

        Raises:
            UnsupportedNetworkError: no path norm is defined through this operation.
        """
        if not _has_sums((args, kwargs)):
            if self._parameters.intersection(at.inputs):
                if at.short not in _MOVES:
                    raise UnsupportedNetworkError(
                        f"{at} combines weights before a path uses them: no curvature by them"
                    )
                self._parameters.add(at.name)
            return at.target(*args, **kwargs)
        if at.short in _MOVES:
            moved = at.target(*_bare(args), **_bare(kwargs))
            return _wrapped(moved)
        if at.short in _ACTIVATIONS:
            x = args[0].tensor
            return Sums(x if self.node is None else self.node(at, x))
        if (rule := _RULES.get(at.short)) is None:
            raise UnsupportedNetworkError(f"no path norm is defined through {at}")
        return Sums(rule(self, at, *args, **kwargs))


def is_node(at: Operation) -> bool:
    """Return whether an operation is an activation, which reads a node."""
    return at.short in _ACTIVATIONS


_ACTIVATIONS = {"relu", "leaky_relu", "prelu", "hardtanh", "relu6", "abs"}
_ACTIVATIONS |= {f"{name}_" for name in _ACTIVATIONS}

# Operations that only move, repeat, leave out or add up values.
_MOVES = {
    *("view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "contiguous", "clone", "detach", "alias"),
    *("slice", "select", "narrow", "index_select", "chunk", "split", "split_with_sizes", "unbind", "getitem"),
    *("squeeze", "unsqueeze", "expand", "repeat", "movedim", "roll", "flip", "dropout", "feature_dropout", "to"),
    *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "upsample_nearest2d", "sym_size", "size", "_to_copy"),
    *("sum", "dropout_"),
}


def _has_sums(argument: Any) -> bool:
    match argument:
        case Sums():
            return True
        case tuple() | list():
            return any(map(_has_sums, argument))
        case dict():
            return any(map(_has_sums, argument.values()))
    return False


def _bare(argument: Any) -> Any:
    match argument:
        case Sums():
            return argument.tensor
        case tuple() | list():
            return type(argument)(map(_bare, argument))
        case dict():
            return {key: _bare(a) for key, a in argument.items()}
    return argument


def _wrapped(result: Any) -> Any:
    match result:
        case Tensor():
            return Sums(result)
        case tuple() | list():
            return type(result)(map(_wrapped, result))
    return result


def _number(visitor: PathVisitor, c: Any) -> Any:
    """Return ``|c|^p`` of a weight or a constant."""
    return visitor.power(c) if isinstance(c, Tensor) else abs(c) ** visitor.p


def _linear(visitor: PathVisitor, at: Operation, x: Any, weight: Any, bias: Any = None) -> Tensor:
    _require_weights(at, weight, bias)
    return functional.linear(x.tensor, visitor.power(weight), None if bias is None else visitor.power(bias))


def _addmm(visitor: PathVisitor, at: Operation, bias: Any, x: Any, weight: Any, **kwargs: Any) -> Tensor:
    if kwargs:
        raise UnsupportedNetworkError(f"no path norm is defined through {at} with {', '.join(kwargs)}")
    _require_weights(at, weight, bias)
    return x.tensor @ visitor.power(weight) + visitor.power(bias)


def _matmul(visitor: PathVisitor, at: Operation, first: Any, second: Any) -> Tensor:
    if isinstance(first, Sums):
        _require_weights(at, second)
        return first.tensor @ visitor.power(second)
    return visitor.power(first) @ second.tensor


def _convolution(
    visitor: PathVisitor, at: Operation, x: Any, weight: Any, bias: Any = None, *rest: Any, **kw: Any
) -> Any:
    _require_weights(at, weight, bias)
    return at.target(x.tensor, visitor.power(weight), None if bias is None else visitor.power(bias), *rest)


def _batch_norm(
    visitor: PathVisitor,
    at: Operation,
    x: Any,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *rest: Any,
) -> Tensor:
    if training or mean is None or variance is None:
        raise UnsupportedNetworkError(f"no path norm is defined through {at} without running statistics")
    scale = (variance + eps).rsqrt()
    gamma = torch.ones_like(scale) if gamma is None else gamma
    beta = torch.zeros_like(scale) if beta is None else beta
    centre = mean * scale
    factor, shift = visitor.power(gamma * scale), visitor.power(beta - gamma * centre)
    if visitor.is_diagonal:
        # The same numbers; of the product of the two terms of the shift no second derivative by one weight is left.
        factor = visitor.power(gamma) * scale.square()
        terms = visitor.power(beta) + visitor.power(gamma) * centre.square()
        shift = terms + (shift - terms).detach()
    spread = (-1, *[1] * (x.tensor.dim() - 2))
    return x.tensor * factor.view(spread) + shift.view(spread)


def _add(visitor: PathVisitor, at: Operation, first: Any, second: Any, alpha: float = 1) -> Tensor:
    if isinstance(first, Sums) and isinstance(second, Sums):
        return first.tensor + second.tensor * abs(alpha) ** visitor.p
    x, c, factor = (first, second, alpha) if isinstance(first, Sums) else (second, first, 1)
    scale = 1 if isinstance(first, Sums) else abs(alpha) ** visitor.p
    return x.tensor * scale + _number(visitor, c) * abs(factor) ** visitor.p


def _mul(visitor: PathVisitor, at: Operation, first: Any, second: Any) -> Tensor:
    x, c = (first, second) if isinstance(first, Sums) else (second, first)
    _require_weights(at, c)
    return x.tensor * _number(visitor, c)


def _div(visitor: PathVisitor, at: Operation, x: Any, c: Any) -> Tensor:
    _require_weights(at, c)
    if not isinstance(x, Sums):
        raise UnsupportedNetworkError(f"no path norm is defined through {at} by an activation")
    return x.tensor / _number(visitor, c)


def _cat(visitor: PathVisitor, at: Operation, parts: Sequence[Any], dim: int = 0) -> Tensor:
    """Constants among the parts are paths of their own, from the source of the biases."""
    tensors = [part.tensor if isinstance(part, Sums) else visitor.power(part) for part in parts]
    return at.target(tensors, dim)


def _max_pool(
    visitor: PathVisitor,
    at: Operation,
    x: Any,
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    if any(step != 1 for step in _pair(dilation)):
        raise UnsupportedNetworkError(f"no path norm is computed through {at} with dilation")
    return _summed(x.tensor, size, stride, padding, ceil_mode)


def _avg_pool(
    visitor: PathVisitor,
    at: Operation,
    x: Any,
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Multiply the sum of a window by ``(1/d)^p``; the divisor d may differ at the borders."""
    args = (size, stride or None, padding, ceil_mode, count_include_pad, divisor_override)
    ones = torch.ones_like(x.tensor[:1, :1])
    divisor = _summed(ones, size, stride, padding, ceil_mode) / functional.avg_pool2d(ones, *args)
    return _summed(x.tensor, size, stride, padding, ceil_mode) / divisor**visitor.p


def _summed(x: Tensor, size: Any, stride: Any, padding: Any, ceil_mode: bool) -> Tensor:
    return functional.avg_pool2d(x, size, stride or None, padding, ceil_mode, divisor_override=1)


def _adaptive_avg_pool(visitor: PathVisitor, at: Operation, x: Any, size: Any) -> Tensor:
    return functional.adaptive_avg_pool2d(x.tensor, size) / _windows(x.tensor, size) ** (visitor.p - 1)


def _adaptive_max_pool(visitor: PathVisitor, at: Operation, x: Any, size: Any) -> Tensor:
    return functional.adaptive_avg_pool2d(x.tensor, size) * _windows(x.tensor, size)


def _windows(x: Tensor, size: Any) -> Tensor:
    """Return how many elements each window of an adaptive pool has."""
    counts = []
    for into, out in zip(x.shape[-2:], _pair(size), strict=True):
        first = torch.arange((into if out is None else out) + 1, device=x.device) * into
        starts, ends = first // (len(first) - 1), -(-first // (len(first) - 1))
        counts.append((ends[1:] - starts[:-1]).to(x))
    rows, columns = counts
    return rows[:, None] * columns


def _mean(visitor: PathVisitor, at: Operation, x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Tensor:
    mean = at.target(x.tensor, *(() if dim is None else (dim, keepdim)), **kwargs)
    return mean / (x.tensor.numel() / mean.numel()) ** (visitor.p - 1)


def _pad(visitor: PathVisitor, at: Operation, x: Any, size: Any, mode: str = "constant", value: Any = None) -> Tensor:
    return functional.pad(x.tensor, size, mode, None if value is None else abs(value) ** visitor.p)


def _constant_pad(visitor: PathVisitor, at: Operation, x: Any, size: Any, value: Any = 0) -> Tensor:
    return functional.pad(x.tensor, size, "constant", abs(value) ** visitor.p)


def _pair(value: Any) -> Sequence[Any]:
    if isinstance(value, Sequence):
        return value if len(value) == 2 else [value[0]] * 2
    return [value] * 2


def _require_weights(at: Operation, *arguments: Any) -> None:
    if any(isinstance(a, Sums) for a in arguments):
        raise UnsupportedNetworkError(f"no path norm is defined through {at} of two activations")


_RULES: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("linear",), _linear),
    "addmm": _addmm,
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose2d"), _convolution),
    "batch_norm": _batch_norm,
    **dict.fromkeys(("add", "add_", "sub", "sub_"), _add),
    **dict.fromkeys(("mul", "mul_"), _mul),
    **dict.fromkeys(("div", "div_"), _div),
    "neg": lambda visitor, at, x: x.tensor,
    **dict.fromkeys(("cat", "concat", "stack"), _cat),
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "adaptive_max_pool2d": _adaptive_max_pool,
    "mean": _mean,
    "pad": _pad,
    "constant_pad_nd": _constant_pad,
}


def power(p: float) -> Power:
    """Return ``w -> |w|^p``."""
    return torch.square if p == 2 else lambda w: w.abs() ** p


class Square(torch.autograd.Function):
    """``w -> w^2``, with the derivative by ``w^2`` instead of that by w: 1, also where w is zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor) -> Tensor:
        """Return the square."""
        return w.square()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Hand the gradient on."""
        return grad


def finite_positive(p: float) -> float:
    """Return an exponent that a path norm may have.

    Raises:
        ValueError: p is not positive and finite.
    """
    if not (p > 0 and math.isfinite(p)):
        raise ValueError(f"p must be positive and finite, got {p}")
    return p
