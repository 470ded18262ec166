"""Arithmetic on lists of tensors in few launches: PyTorch's private kernels, or plain loops where they are missing.

All functions but :func:`sqrt` work in place, on the first list. A number may be one per member, ``(members,)``; it
then takes the loops.
"""

import torch
from torch import Tensor

from scaleinv.symmetry.members import PerMember, per_entry

Tensors = list[Tensor]


def has(kernel: str) -> bool:
    """Whether this PyTorch has a private kernel."""
    return hasattr(torch, kernel)


def _at(number: PerMember, like: Tensor) -> PerMember:
    return per_entry(number, like) if isinstance(number, Tensor) else number


def mul_(tensors: Tensors, factor: PerMember) -> None:
    """Multiply by a number."""
    if not isinstance(factor, Tensor) and has("_foreach_mul_"):
        torch._foreach_mul_(tensors, factor)
    else:
        for t in tensors:
            t.mul_(_at(factor, t))


def mul_by_(tensors: Tensors, factors: Tensors) -> None:
    """Multiply by other tensors, which may be smaller and broadcast."""
    if has("_foreach_mul_"):
        torch._foreach_mul_(tensors, factors)
    else:
        for t, factor in zip(tensors, factors, strict=True):
            t.mul_(factor)


def add_number_(tensors: Tensors, number: PerMember) -> None:
    """Add a number."""
    if not isinstance(number, Tensor) and has("_foreach_add_"):
        torch._foreach_add_(tensors, number)
    else:
        for t in tensors:
            t.add_(_at(number, t))


def add_(tensors: Tensors, others: Tensors, alpha: PerMember = 1.0) -> None:
    """Add ``alpha`` times other tensors."""
    if not isinstance(alpha, Tensor) and has("_foreach_add_"):
        torch._foreach_add_(tensors, others, alpha=alpha)
    else:
        for t, other in zip(tensors, others, strict=True):
            t.add_(other * _at(alpha, t))


def addcmul_(tensors: Tensors, firsts: Tensors, seconds: Tensors, factor: PerMember) -> None:
    """Add ``factor`` times products."""
    if not isinstance(factor, Tensor) and has("_foreach_addcmul_"):
        torch._foreach_addcmul_(tensors, firsts, seconds, factor)
    else:
        for t, first, second in zip(tensors, firsts, seconds, strict=True):
            t.addcmul_(first * _at(factor, t), second)


def add_scaled_(tensors: Tensors, others: Tensors, factor: Tensor) -> None:
    """Add ``factor``, one per member, times other tensors."""
    by_dims = {t.dim(): per_entry(factor, t) for t in tensors}
    addcmul_(tensors, others, [by_dims[t.dim()] for t in tensors], 1.0)


def div_(tensors: Tensors, divisors: Tensors) -> None:
    """Divide by other tensors."""
    if has("_foreach_div_"):
        torch._foreach_div_(tensors, divisors)
    else:
        for t, divisor in zip(tensors, divisors, strict=True):
            t.div_(divisor)


def copy_(tensors: Tensors, others: Tensors) -> None:
    """Copy other tensors."""
    if has("_foreach_copy_"):
        torch._foreach_copy_(tensors, others)
    else:
        for t, other in zip(tensors, others, strict=True):
            t.copy_(other)


def sqrt(tensors: Tensors) -> Tensors:
    """Return the square roots."""
    return list(torch._foreach_sqrt(tensors)) if has("_foreach_sqrt") else [t.sqrt() for t in tensors]


def adam_(
    directions: Tensors,
    grads: Tensors,
    means: Tensors,
    squares: Tensors,
    step: Tensor,
    beta1: PerMember,
    beta2: PerMember,
    eps: PerMember,
) -> None:
    """Update Adam's means and write ``m_hat / (sqrt(v_hat) + eps)`` into ``directions`` (thesis, eq. 1.9, 1.10).

    Args:
        directions: tensors to write into. PyTorch's kernel moves parameters: with lr -1, zeros become the direction.
        grads: gradients of this step.
        means: running means of the gradients.
        squares: running means of the squared gradients.
        step: number of this step, counted from 1; float32, shape ``()``, on the device.
        beta1: decay of the means.
        beta2: decay of the means of the squares.
        eps: added to the denominator.
    """
    if not (isinstance(beta1, Tensor) or isinstance(beta2, Tensor) or isinstance(eps, Tensor)) and has("_fused_adam_"):
        for d in directions:
            d.zero_()
        torch._fused_adam_(
            *(directions, grads, means, squares, [], [step] * len(directions)),
            lr=-1.0,
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )
        return
    count = step.double()
    for d, g, mean, square in zip(directions, grads, means, squares, strict=True):
        mean.lerp_(g, _at(1 - beta1, g))
        square.lerp_(g * g, _at(1 - beta2, g))
        root = (square / _at(1 - beta2**count, g)).sqrt_().add_(_at(eps, g))
        torch.div(mean / _at(1 - beta1**count, g), root, out=d)
