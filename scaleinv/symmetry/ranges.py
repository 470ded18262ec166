"""Gauges in which every channel uses the range of its tensors: the largest weight in is as large as the largest out."""

from dataclasses import replace

import torch
from torch import Tensor

from scaleinv.symmetry.balance import Dead, balancing_scales
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.quotient import links


def equalising_scales(
    graph: Graph, weights: Weights, tolerance: float = 1e-3, sweeps: int = 1000, dead: Dead = "refuse"
) -> Tensor:
    """Find scales after which ``max |w| in = max |w| out`` at every hidden channel.

    For two layers this is cross-layer equalisation (Nagel et al. 2019, eq. 8 to 11): it maximises the sum over the
    channels of ``range / range of the tensor``, multiplied over both layers, which is the share of its quantization
    grid that each channel uses. On a graph it is the same condition at each channel. Starting from the balanced
    gauge, ``log lambda_c += s (log out_c - log in_c)`` is repeated, one block after the other, with s = 0.8 in the
    first half of the sweeps (1/2 takes three times as many in deep networks) and 1/2 after it. So the result is a
    function of the orbit alone. Ranges are those of tensors with two or more dims; biases have none. A channel that
    has a range on one side only stays in the balanced gauge.

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        tolerance: largest ``|log(in / out)|`` allowed in the result.
        sweeps: largest number of sweeps over all blocks.
        dead: what becomes of dead channels; see :func:`scaleinv.symmetry.balance.balance`.

    Returns:
        The scales, ``(*members, K)`` in float64.

    Raises:
        ValueError: a weight is not finite, or a channel is dead and not kept.
        RuntimeError: not converged after ``sweeps`` sweeps.
    """
    # Exponents apart: for networks that differ by powers of two the rest is the same, bit for bit.
    parts = balancing_scales(graph, weights, dead=dead).frexp()
    logs, exponents = (torch.nn.functional.pad(part, (1, 0)) for part in (parts.mantissa.log(), parts.exponent))
    matrices = {name: w for name, w in weights.items() if len(graph.shapes[name]) > 1}
    edges = []
    for link in links(graph, matrices, "largest size"):
        sizes = torch.ldexp(link.values, exponents[..., link.head] - exponents[..., link.tail]).log()
        # A weight from a channel to itself is the same in all gauges.
        edges.append(replace(link, values=sizes.masked_fill((link.head == link.tail) & (link.head > 0), -torch.inf)))
    around = []
    for block in graph.blocks:
        near = lambda classes, block=block: bool(((classes >= block.start) & (classes < block.stop)).any())  # noqa: E731
        into, out = [link for link in edges if near(link.head)], [link for link in edges if near(link.tail)]
        # Channels that read each other move at the same time, so they go half of the way.
        around.append((block, into, out, 0.5 if {*map(id, into)} & {*map(id, out)} else 1.0))
    for sweep in range(sweeps):
        step = 0.8 if sweep < sweeps // 2 else 0.5
        worst = 0.0
        for block, into, out, share in around:
            gap = torch.zeros_like(logs)
            if into and out:
                highest_in = torch.stack([link.largest(logs, -logs, "head") for link in into]).amax(0)
                highest_out = torch.stack([link.largest(logs, -logs, "tail") for link in out]).amax(0)
                gap = torch.where(highest_in.isfinite() & highest_out.isfinite(), highest_out - highest_in, 0.0)
            own = gap[..., block.start : block.stop]
            worst = max(worst, own.abs().max().item())
            logs[..., block.start : block.stop] += step * share * own
        if worst <= tolerance:
            return torch.ldexp(logs.exp(), exponents)[..., 1:]
    raise RuntimeError(f"no equal ranges after {sweeps} sweeps: |log(in / out)| is still {worst:.1e}")
