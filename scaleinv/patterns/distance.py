"""How many samples change their pattern between two sets of weights, and the temperature of that share.

Source: P 3.2, with temperatures in bits.
"""

import torch
from torch import Tensor


def distance(before: Tensor, after: Tensor) -> Tensor:
    """Return the share of samples with another pattern: ``D = P(A != A')`` (P, eq. 3.15).

    Args:
        before: packed patterns, ``(..., words, samples)``.
        after: the same samples' patterns at other weights.

    Returns:
        Float64, the leading dims.
    """
    return (before != after).any(-2).double().mean(-1)


def flip_rate(before: Tensor, after: Tensor, channels: int) -> Tensor:
    """Return the share of bits that differ, over samples and channels; unlike D it does not grow with the width."""
    differ = before ^ after
    # Sums of ever wider groups of bits; the masks keep int64's sign out of the shifted words.
    pairs = differ - ((differ >> 1) & 0x5555555555555555)
    fours = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    octets = (fours + (fours >> 4)) & 0x0F0F0F0F0F0F0F0F
    ones = (octets * 0x0101010101010101) >> 56
    return ones.sum(-2).double().mean(-1) / channels


def temperature(share: Tensor) -> Tensor:
    """Compute ``T = -log2(1 - D)`` in bits (P, eq. 3.16); infinite where everything changed."""
    return -torch.log1p(-share) / torch.log(torch.tensor(2.0, dtype=torch.float64)) + 0.0


def share(temperature: Tensor) -> Tensor:
    """Invert :func:`temperature`: ``D = 1 - 2^-T``."""
    return 1 - torch.exp2(-temperature)
