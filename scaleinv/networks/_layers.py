"""Layers that the convolutional architectures have in common."""

import torch
from torch import nn


def convolution(
    into: int, out: int, kernel: int, norm: bool, stride: int = 1, groups: int = 1, bias: bool = True
) -> list[nn.Module]:
    """Return a convolution that keeps the size of its images (up to the stride), and what follows it.

    Args:
        into: number of input channels.
        out: number of output channels.
        kernel: odd height and width of the kernel.
        norm: whether batch norm follows; the convolution then has no bias, which batch norm would subtract.
        stride: stride in both directions.
        groups: number of groups of channels.
        bias: whether a convolution without batch norm has a bias.
    """
    layer = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=bias and not norm)
    return [layer, nn.BatchNorm2d(out)] if norm else [layer]


def draw_he(model: nn.Module) -> nn.Module:
    """Draw the weights of convolutions from He's normal distribution by fan out, biases zero; return the model.

    With PyTorch's default the activations of a deep network without batch norm vanish: each layer divides their
    variance by six (He et al. 2015).
    """
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return model


def flat_features(model: nn.Module, inputs: tuple[int, int, int]) -> int:
    """Return how many numbers a module computes from one image.

    Raises:
        ValueError: the image is too small for the module.
    """
    try:
        with torch.no_grad():
            return model.eval()(torch.zeros(1, *inputs)).numel()
    except RuntimeError as error:
        raise ValueError(f"images of {inputs[1]} x {inputs[2]} pixels are too small for this network") from error
    finally:
        model.train()
