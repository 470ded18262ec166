"""Patterns as machine words: packed bits, and one 64-bit key per pattern (P 3.1.2)."""

import torch
from torch import Tensor

from scaleinv.patterns._operations import is_positive
from scaleinv.symmetry.network import UnsupportedNetworkError

# Start and the two odd factors of P's algorithm 1; arithmetic wraps modulo 2^64.
OFFSET, P, Q = 1610612741, 805306457, 402653189
# Channels per word.
WORD = 64
# Factors of the splitmix64 finaliser, as signed numbers.
_FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
_SHIFTS = (30, 27, 31)


def pack(inputs: Tensor) -> Tensor:
    """Pack the activation bits ``z > 0`` of a layer, 64 channels per word; bit j of word w is channel ``64 w + j``.

    Args:
        inputs: inputs of an activation, or anything of the same signs, ``(members, channels, samples)``.

    Returns:
        Words, int64, ``(members, words, samples)``.
    """
    bits = is_positive(inputs).view(torch.uint8)
    octets = bits.new_zeros(bits.shape[0], -(-bits.shape[1] // WORD) * 8, bits.shape[2])
    for k in range(7, -1, -1):
        part = bits[:, k::8]
        octets.bitwise_left_shift_(1)
        octets[:, : part.shape[1]].bitwise_or_(part)
    by_sample = octets.new_empty(octets.mT.shape).copy_(octets.mT)
    return by_sample.view(torch.int64).mT


def require_numbers(inputs: Tensor, layer: int) -> None:
    """Raise if an input of an activation is NaN, which has no sign.

    Raises:
        FloatingPointError: naming the layer, counted from 1, and the members.
    """
    if inputs.sum().isfinite() or not (bad := inputs.isnan().flatten(1).any(1)).any():
        return
    members = ", ".join(map(str, bad.nonzero().flatten().tolist()))
    raise FloatingPointError(f"an input of activation {layer} is NaN (members {members}): it has no pattern")


def require_activations(inputs: list[Tensor]) -> None:
    """Raise if there is no activation.

    Raises:
        UnsupportedNetworkError: the list is empty.
    """
    if not inputs:
        raise UnsupportedNetworkError("the network has no activation, so it has no activation patterns")


def keys(words: Tensor) -> Tensor:
    """Return one 64-bit key per pattern: equal for equal patterns, and for up to 64 channels only for those.

    The words are chained as in :func:`thesis_hash`, with a bijective mixing after each. Without it, bit 63 of two
    neighbouring words cancels: patterns of more than 64 channels that differ in channels 63 and 127 would collide.

    Args:
        words: from :func:`pack`, ``(members, words, samples)``.

    Returns:
        Shape ``(members, samples)``.
    """
    key = torch.full_like(words[:, 0], OFFSET)
    for word in words.unbind(1):
        key = mix((word * Q) ^ (key * P))
    return key


def mix(key: Tensor) -> Tensor:
    """Spread every bit over the whole word: the finaliser of splitmix64, a bijection of int64 (Steele et al. 2014)."""
    for shift, factor in zip(_SHIFTS, (*_FACTORS, 1), strict=True):
        # The arithmetic shift of int64 copies the sign; the mask makes it a logical one.
        key = (key ^ ((key >> shift) & (2 ** (64 - shift) - 1))) * factor
    return key


def thesis_hash(words: Tensor) -> Tensor:
    """Compute P's algorithm 1, ``h = (word Q) xor (h P)``, as its tables use it; shapes as in :func:`keys`."""
    key = torch.full_like(words[:, 0], OFFSET)
    for word in words.unbind(1):
        key = (word * Q) ^ (key * P)
    return key
