"""Inputs of the activations of any module, kept while it runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from scaleinv.symmetry.network import UnsupportedNetworkError

_OPS = torch.ops.aten
# Operations whose first argument decides by its sign, in both forms: a new tensor, or in place.
ACTIVATIONS = {
    *(_OPS.relu.default, _OPS.relu_.default, _OPS.leaky_relu.default, _OPS.leaky_relu_.default),
    *(_OPS._prelu_kernel.default, _OPS.hardtanh.default, _OPS.hardtanh_.default),
}


class Recorder(TorchDispatchMode):
    """Keeps the input of every ReLU, LeakyReLU, PReLU and ReLU6 that runs inside the context, in order.

    Attributes:
        inputs: ``(channels, images * positions)`` each. A module that runs twice counts as two layers; in a
            convolutional layer every position is a sample.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.inputs: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Keep the input of an activation, then run the operation."""
        if func in ACTIVATIONS:
            self.inputs.append(by_channel(args[0]))
        return func(*args, **(kwargs or {}))


def by_channel(z: Tensor) -> Tensor:
    """Copy ``(images, channels, *positions)`` to ``(channels, images * positions)``.

    Raises:
        UnsupportedNetworkError: of three dims either could hold the channels.
    """
    if z.dim() == 3:
        raise UnsupportedNetworkError("an activation reads a tensor of three dims; its channels could be either")
    return z.detach().transpose(0, 1).flatten(1).clone(memory_format=torch.contiguous_format)
