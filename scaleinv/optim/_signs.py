"""Random signs that are a function of a counter: a captured step draws new ones, a resumed run the same ones."""

import torch
from torch import Tensor


def random_signs(step: Tensor, stream: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return +-1 from a mix of the bits of (step, stream, position): equal arguments give equal signs.

    Args:
        step: number of the step, int64, shape ``()``; stays on its device.
        stream: number of the use within a step, so that two uses are independent.
        shape: shape of the result.
        dtype: dtype of the result.
    """
    position = torch.arange(torch.Size(shape).numel(), device=step.device).view(shape)
    bits = position * 0x5851F42D4C957F2D + (step * 0x2545F4914F6CDD1D + stream * 0x14057B7EF767814F)
    for shift in (32, 29, 32):
        # An arithmetic shift copies the sign bit, which a mix may do without.
        bits = (bits ^ (bits >> shift)) * 0x369DEA0F31A53F85
    return ((bits >> 40) & 1).to(dtype) * 2 - 1
