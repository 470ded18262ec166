"""The extrinsic layer: a residual block with tied weights that moves points in input space (P A.3)."""

import torch
from torch import Tensor, nn

STABLE, NAIVE = STARTS = ("stable", "naive")


class ExtrinsicLayer(nn.Module):
    """``x + ((relu(-x W) * s) W^T) * s'``, which is ``x + x W (A - I) diag(s) W^T diag(s')`` (Def. 10).

    A has a one where ``x W > 0``: inactive filters move a point, active ones do not. With a homogeneous coordinate x is
    first extended by a one, so each layer is wider than the one before. Multiplying a column of W by a > 0 and its s by
    ``a^-2`` changes nothing.

    Attributes:
        weight: W, ``(inputs + 1, filters)``, or ``(inputs, filters)`` without the homogeneous coordinate.
        inner: s, ``(filters,)``.
        outer: s', ``(inputs + 1,)`` or ``(inputs,)``.
    """

    def __init__(self, inputs: int, filters: int, homogeneous: bool = True, start: str = STABLE) -> None:
        """Draw the filters.

        Args:
            inputs: number of input features.
            filters: number m of filters.
            homogeneous: whether a one is appended to the inputs.
            start: ``stable`` draws W from N(0, 1 / m), with s = s' = 1, which keeps ``|W|^2 max |s s'|`` of order one;
                ``naive`` draws it from N(0, 1), with s = 1 / m, and diverges in a few steps of ordinary SGD.

        Raises:
            ValueError: a number is below 1, or no such start.
        """
        super().__init__()
        if inputs < 1 or filters < 1:
            raise ValueError(f"a layer needs inputs and filters, got {inputs} and {filters}")
        if start not in STARTS:
            raise ValueError(f"start must be one of {', '.join(STARTS)}, got {start!r}")
        self.homogeneous, self.start = homogeneous, start
        width = inputs + int(homogeneous)
        self.weight = nn.Parameter(torch.empty(width, filters))
        self.inner, self.outer = nn.Parameter(torch.empty(filters)), nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the filters anew."""
        filters = self.weight.shape[1]
        nn.init.normal_(self.weight, std=filters**-0.5 if self.start == STABLE else 1.0)
        nn.init.constant_(self.inner, 1.0 if self.start == STABLE else 1 / filters)
        nn.init.ones_(self.outer)

    def forward(self, x: Tensor) -> Tensor:
        """Move points ``(points, inputs)``; the result has one more feature if the layer is homogeneous."""
        if self.homogeneous:
            x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        return x + ((torch.relu(-x @ self.weight) * self.inner) @ self.weight.mT) * self.outer
