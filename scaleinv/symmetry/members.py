"""Values per member of a stack: a tensor ``(members,)``, or one float for all members."""

from torch import Tensor

# An option with one of these annotations may be a list in a configuration; it is then an axis of the stack.
PerMember = float | Tensor
# The same for whole numbers, which a stack holds as float64 too.
WholePerMember = int | Tensor


def per_entry(member_values: Tensor, like: Tensor) -> Tensor:
    """View ``(*members,)`` so that it broadcasts against ``like``, ``(*members, own shape)``; in its dtype."""
    values = member_values.to(like.dtype)
    return values.view(*values.shape, *[1] * (like.dim() - values.dim()))
