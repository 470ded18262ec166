"""Small models of every kind that a description covers, written as users write them.

Each says how many rescalings its function has beyond the K of its description, counted by the rank of the Jacobian:
scales that are no rescaling of channels (a shift that a norm takes away, a factor of a matrix that is used twice).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class Small:
    """A kind of model.

    Attributes:
        make: makes it.
        inputs: shape of one input.
        hidden: number K of rescalings.
        anchors: operations that anchor some classes, besides the output.
        beyond: further dimensions that the function does not depend on, in training mode.
    """

    make: Callable[[], nn.Module]
    inputs: tuple[int, ...]
    hidden: int
    anchors: frozenset[str] = frozenset()
    beyond: int = 0


class Written(nn.Module):
    """A model with the parts and the forward of its arguments."""

    def __init__(self, forward: Callable, **parts: nn.Module | nn.Parameter) -> None:
        """Keep the parts under their names."""
        super().__init__()
        self._run = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self._run(self, x)


SMALL: dict[str, Small] = {}


def small(inputs: tuple[int, ...], hidden: int, *anchors: str, beyond: int = 0) -> Callable:
    """Register a function that makes a model, under the function's name."""

    def register(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        SMALL[make.__name__] = Small(make, inputs, hidden, frozenset(anchors), beyond)
        return make

    return register


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def chain(*widths: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    parts = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), act())]
    return nn.Sequential(*parts[:-1])


leaky = nn.LeakyReLU(0.1)  # what reads it has inputs of both signs


# Fully connected


@small((4,), 8)
def flattened_last():
    return nn.Sequential(chain(4, 5, 3), nn.ReLU(), nn.Unflatten(1, (3, 1)), nn.Flatten(), nn.Linear(3, 2))


@small((3,), 7)
def prelu():
    return nn.Sequential(nn.Linear(3, 4), nn.PReLU(4), nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 2))


@small((3,), 4)
def absolute_values():
    return Written(lambda m, x: m.b(m.a(x).abs()), a=nn.Linear(3, 4), b=nn.Linear(4, 2))


@small((3,), 4)
def clipped_at_zero_only():
    return Written(lambda m, x: m.b(m.a(x).clamp(min=0)), a=nn.Linear(3, 4), b=nn.Linear(4, 2))


@small((3,), 9)
def dropout():
    return nn.Sequential(nn.Linear(3, 5), nn.Dropout1d(0.5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))


@small((3,), 4, "tanh")
def tanh_and_relu():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


@small((3,), 0, "sigmoid")
def sigmoid():
    return chain(3, 4, 2, act=nn.Sigmoid)


@small((3,), 0, "gelu")
def gelu():
    return chain(3, 4, 2, act=nn.GELU)


@small((3,), 0, "silu")
def silu():
    return chain(3, 4, 2, act=nn.SiLU)


@small((3,), 0, "hardtanh")
def relu6():
    return chain(3, 4, 2, act=nn.ReLU6)


@small((3,), 0, "add")
def constant_added():
    return Written(lambda m, x: m.b((m.a(x) + 1).relu()), a=nn.Linear(3, 4, bias=False), b=nn.Linear(4, 2))


@small((3,), 4)
def constant_factors():
    return Written(lambda m, x: m.b(-2 * m.a(x).relu() / 3), a=nn.Linear(3, 4), b=nn.Linear(4, 2))


@small((3,), 5)
def bare_parameters():
    return Written(
        lambda m, x: (x @ m.a + m.shift).relu() @ m.b.T,
        **{"a": parameter(3, 5), "shift": parameter(5), "b": parameter(2, 5)},
    )


@small((3,), 5)
def functional_calls():
    return Written(
        lambda m, x: F.linear(F.leaky_relu(torch.addmm(m.shift, x, m.a), 0.1), m.b),
        **{"a": parameter(3, 5), "shift": parameter(5), "b": parameter(2, 5)},
    )


@small((3,), 8)
def scaled_channels():
    """A factor of every channel, as in LayerScale: two classes for each channel."""
    return Written(lambda m, x: m.b(m.a(x).relu() * m.gain), a=nn.Linear(3, 4), gain=parameter(4), b=nn.Linear(4, 2))


@small((3,), 8)
def divided_channels():
    return Written(lambda m, x: m.b(m.a(x).relu() / m.size), a=nn.Linear(3, 4), size=parameter(4), b=nn.Linear(4, 2))


@small((3,), 4 + 3, beyond=1)
def scaled_block():
    """One factor for a block, as in ReZero: it keeps its value. That with all that the block writes is one more."""
    return Written(
        lambda m, x: m.head(leaky(m.size * m.block(x))),
        **{
            "block": chain(3, 3, 4, act=lambda: leaky),
            "size": nn.Parameter(torch.tensor(0.7)),
            "head": nn.Linear(4, 2),
        },
    )


@small((3,), 4, beyond=4)
def weight_normalised():
    """The size of a row is a number of its own; that of v is without effect."""
    model = chain(3, 4, 2)
    nn.utils.parametrizations.weight_norm(model[0])
    return model


@small((3,), 4)
def masked():
    return Written(lambda m, x: m.b((y := m.a(x)).masked_fill(y < 0, 0)), a=nn.Linear(3, 4), b=nn.Linear(4, 2))


@small((3,), 4, beyond=4 * 3 + 4 - 4)
def without_gradients():
    """Part of the forward under ``torch.no_grad()``, so that its parameters have no part in the Jacobian."""

    def forward(m, x):
        with torch.no_grad():
            y = m.a(x).relu()
        return m.b(y)

    return Written(forward, a=nn.Linear(3, 4), b=nn.Linear(4, 2))


@small((2, 3), 8 + 8)
def einsums():
    """A matrix for each of two heads, three times."""
    return Written(
        lambda m, x: torch.einsum(
            "hbj,hjo->bho", torch.einsum("bhi,hij->hbj", torch.einsum("bhi,hij->bhj", x, m.a).relu(), m.b).relu(), m.c
        ).sum(1),
        **{"a": parameter(2, 3, 4), "b": parameter(2, 4, 4), "c": parameter(2, 4, 2)},
    )


@small((3,), 0, "softmax", beyond=4 + 2)
def softmax():
    """A softmax takes away what is added to all it reads; what it returns adds up to one."""
    return nn.Sequential(nn.Linear(3, 4), nn.Softmax(1), nn.Linear(4, 2))


@small((3,), 4, "layer_norm", beyond=3 + 1)
def layer_norm():
    """What is added to all channels alike is taken away: a column of weights, and the bias."""
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2))


# Streams


@small((3,), 4 + 3 + 3)
def residual():
    return Written(
        lambda m, x: m.head(leaky((z := leaky((y := leaky(m.stem(x))) + m.first(y))) + m.second(z))),
        stem=nn.Linear(3, 4),
        first=chain(4, 3, 4, act=nn.LeakyReLU),
        second=chain(4, 3, 4, act=nn.LeakyReLU),
        head=nn.Linear(4, 2),
    )


@small((3,), 5, "add")
def skip_from_the_input():
    return Written(lambda m, x: m.head((x + m.block(x)).relu()), block=chain(3, 5, 3), head=nn.Linear(3, 2))


@small((3,), 9)
def projection():
    return Written(
        lambda m, x: m.head((m.skip(x) + m.block(x)).relu()),
        skip=nn.Linear(3, 4, bias=False),
        block=chain(3, 5, 4),
        head=nn.Linear(4, 2),
    )


@small((3,), 6)
def concatenated():
    return Written(
        lambda m, x: m.head(torch.cat([m.a(x).relu(), x, m.b(x).relu()], 1)),
        **{"a": nn.Linear(3, 4), "b": nn.Linear(3, 2), "head": nn.Linear(9, 2)},
    )


@small((3,), 4, beyond=8)
def itself_concatenated():
    """Two columns of the head read the same channel: only their sum matters."""
    return Written(lambda m, x: m.head(torch.cat([y := m.a(x).relu(), y], 1)), a=nn.Linear(3, 4), head=nn.Linear(8, 2))


@small((3,), 4 + 3)
def dense():
    return Written(
        lambda m, x: m.head(torch.cat([y := m.a(x).relu(), m.b(y).relu()], 1)),
        **{"a": nn.Linear(3, 4), "b": nn.Linear(4, 3), "head": nn.Linear(7, 2)},
    )


@small((3,), 4)
def maximum_of_two():
    return Written(
        lambda m, x: m.head(torch.maximum(m.a(x), m.b(x)).relu()),
        a=nn.Linear(3, 4),
        b=nn.Linear(3, 4),
        head=nn.Linear(4, 2),
    )


@small((3,), 4)
def chunks_swapped():
    return Written(
        lambda m, x: m.head(torch.cat(m.a(x).relu().chunk(2, 1)[::-1], 1)), a=nn.Linear(3, 4), head=nn.Linear(4, 2)
    )


@small((3,), 2)
def halves_added():
    return Written(lambda m, x: m.head(sum(m.a(x).relu().split(2, 1))), a=nn.Linear(3, 4), head=nn.Linear(2, 2))


@small((3,), 6)
def rolled_and_sliced():
    return Written(
        lambda m, x: m.head(torch.stack([(y := m.a(x).relu().roll(1, 1))[:, ::2], y[:, 1::2].flip(1)], 1).flatten(1)),
        **{"a": nn.Linear(3, 6), "head": nn.Linear(6, 2)},
    )


@small((3,), 4)
def used_twice():
    """The same two layers on the input and on its negative."""
    return Written(lambda m, x: m.block(x) + m.block(-x.abs()), block=chain(3, 4, 2))


@small((3,), 3 + 4)
def used_in_a_row():
    """The same layer twice in a row."""
    return Written(
        lambda m, x: m.head(leaky(m.both(leaky(m.both(leaky(m.stem(x))))) + leaky(m.free(x)) @ m.mix)),
        **{"stem": nn.Linear(3, 3), "both": nn.Linear(3, 3), "free": nn.Linear(3, 4), "mix": parameter(4, 3)},
        head=nn.Linear(3, 2),
    )


@small((3,), 3 + 4, "sigmoid")
def gate():
    """Squeeze and excitation: the gate is anchored, what it multiplies is not."""
    return Written(
        lambda m, x: m.head((y := m.a(x).relu()) * m.out(m.into(y).relu()).sigmoid()),
        **{"a": nn.Linear(3, 4), "into": nn.Linear(4, 3), "out": nn.Linear(3, 4), "head": nn.Linear(4, 2)},
    )


def fill(model: nn.Module, x: Tensor) -> Tensor:
    both = x.new_zeros(len(x), 6)
    both[:, :4] = model.a(x).relu_()
    both[:, 3:].add_(model.b(x).relu())
    return model.head(both.mul_(2))


@small((3,), 4 + 3 - 1 + 4, "batch_norm")
def written_in_place():
    """Two layers write into one tensor of zeros, both into its fourth channel."""
    a = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4, eps=0.01), leaky, nn.Linear(4, 4))
    return Written(fill, a=a, b=nn.Linear(3, 3), head=nn.Linear(6, 2))


@small((3,), 4, "add")
def other_in_training():
    """What one of the modes does not allow is anchored."""
    return Written(
        lambda m, x: m.head(leaky(m.b(leaky(m.a(x) + 1 if m.training else m.a(x))))),
        **{"a": nn.Linear(3, 4, bias=False), "b": nn.Linear(4, 4), "head": nn.Linear(4, 2)},
    )


# Convolutions


def net(*parts: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(width, 2))


@small((2, 5, 5), 3 + 4)
def convolutions():
    """Stride, padding and dilation."""
    parts = nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 2, dilation=2, bias=False), nn.ReLU()
    return net(*parts, width=4)


@small((2, 7), 3 + 2)
def convolutions_1d():
    return net(nn.Conv1d(2, 3, 3, padding="same"), nn.ReLU(), nn.Conv1d(3, 2, 3), nn.ReLU(), width=10)


@small((2, 3, 3), 4 + 2)
def transposed_convolutions():
    parts = (
        nn.ConvTranspose2d(2, 4, 2, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 2, groups=2, padding=1),
        nn.ReLU(),
    )
    return net(*parts, nn.AdaptiveAvgPool2d(2), width=8)


@small((2, 4, 4), 4 + 4 + 4)
def grouped_and_depthwise():
    grouped = nn.Conv2d(4, 4, 1, groups=2)
    depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    return net(nn.Conv2d(2, 4, 1), nn.ReLU(), grouped, nn.ReLU(), depthwise, nn.ReLU(), nn.AvgPool2d(4), width=4)


@small((2, 5, 5), 3 + 4)
def pools():
    """Overlapping and not, largest, average, adaptive."""
    first = nn.Conv2d(2, 3, 2), nn.ReLU(), nn.MaxPool2d(2, stride=1)
    return net(*first, nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AvgPool2d(2, stride=1), nn.AdaptiveMaxPool2d(1), width=4)


@small((2, 4, 4), 3)
def mean_over_places():
    return Written(lambda m, x: m.head(m.a(x).relu().mean((2, 3))), a=nn.Conv2d(2, 3, 3), head=nn.Linear(3, 2))


@small((2, 4, 4), 4 + 4)
def shuffled():
    """Channel shuffle by views."""
    return Written(
        lambda m, x: m.head(
            m.b(m.a(x).relu().view(-1, 2, 2, 4, 4).transpose(1, 2).reshape(-1, 4, 4, 4)).relu().mean((2, 3))
        ),
        **{"a": nn.Conv2d(2, 4, 1), "b": nn.Conv2d(4, 4, 1, groups=2), "head": nn.Linear(4, 2)},
    )


@small((2, 2, 2), 3)
def pixel_shuffle():
    """Four channels become places of one: they must be rescaled alike where a kernel reads them."""
    parts = nn.Conv2d(2, 4, 1), nn.ReLU(), nn.PixelShuffle(2), nn.Conv2d(1, 2, 3), nn.ReLU()
    return net(*parts, width=8)


@small((2, 3, 3), 3)
def upsampled():
    parts = nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Upsample(scale_factor=2, mode="nearest"), nn.ZeroPad2d(1), nn.AvgPool2d(3)
    return net(*parts, width=12)


@small((2, 4, 4), 4 + 3 + 3)
def padded_shortcut():
    """The shortcut of ResNets on CIFAR: strided, with channels of zeros."""
    block = nn.Sequential(nn.Conv2d(4, 3, 1, stride=2), leaky, nn.Conv2d(3, 7, 1))
    return Written(
        lambda m, x: m.head(leaky(m.b(y := leaky(m.a(x))) + F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))).mean((2, 3))),
        **{"a": nn.Conv2d(2, 4, 1), "b": block, "head": nn.Linear(7, 2)},
    )


@small((2, 3, 3), 4)
def blurred():
    """A fixed kernel, channel by channel."""
    kernel = torch.tensor([[1.0, 2.0], [2.0, 4.0]]).expand(4, 1, 2, 2)
    return Written(
        lambda m, x: m.head(F.conv2d(m.a(x).relu(), kernel.to(x), groups=4).flatten(1)),
        **{"a": nn.Conv2d(2, 4, 1), "head": nn.Linear(16, 2)},
    )


# Norms


@small((2, 4, 4), 3 + 4, "batch_norm")
def batch_norms():
    first = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3, eps=0.01), nn.ReLU()
    return net(*first, nn.Conv2d(3, 4, 2, bias=False), nn.BatchNorm2d(4, eps=0.01), nn.ReLU(), width=4)


@small((3,), 4, "batch_norm", beyond=4)
def batch_norm_of_biases():
    """In training mode the biases before a batch norm are without effect."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, eps=0.01), nn.ReLU(), nn.Linear(4, 2))


@small((2, 3, 3), 0, "batch_norm")
def batch_norm_alone():
    return net(nn.Conv2d(2, 3, 2, bias=False), nn.BatchNorm2d(3, affine=False), nn.ReLU(), width=12)


@small((2, 3, 3), 4 + 3, "batch_norm")
def residual_with_batch_norm():
    return Written(
        lambda m, x: m.head(((y := m.stem(x).relu())[:, :, 1:, 1:] + m.block(y)).relu().mean((2, 3))),
        stem=nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4, eps=0.01)),
        block=nn.Sequential(
            *(nn.Conv2d(4, 3, 2, bias=False), nn.BatchNorm2d(3, eps=0.01), nn.ReLU()),
            *(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4, eps=0.01)),
        ),
        head=nn.Linear(4, 2),
    )


@small((2, 4, 4), 4, "batch_norm")
def norm_first():
    """As in DenseNets: what a batch norm reads is anchored, though it comes from a stream."""
    return Written(
        lambda m, x: m.head(m.norm(torch.cat([x, m.a(x)], 1)).relu().mean((2, 3))),
        **{"a": nn.Conv2d(2, 2, 1, bias=False), "norm": nn.BatchNorm2d(4, eps=0.01), "head": nn.Linear(4, 2)},
    )


@small((2, 3, 3), 4, "group_norm")
def group_norm():
    return net(nn.Conv2d(2, 4, 2, bias=False), nn.GroupNorm(2, 4), nn.ReLU(), width=16)


@small((4, 3), 2 + 3, "scaled_dot_product_attention", beyond=2 * 2 + 2)
def attention():
    """Beyond the values' channels: any matrix between queries and keys, and the bias of the keys."""
    return Written(
        lambda m, x: m.head(leaky(m.out(leaky(F.scaled_dot_product_attention(*m.qkv(x).chunk(3, -1))))).mean(1)),
        **{"qkv": nn.Linear(3, 6), "out": nn.Linear(2, 3), "head": nn.Linear(3, 2)},
    )


@small((4, 3), 4, "matmul", "softmax", beyond=2 * 2)
def attention_written_out():
    """Beyond the values' channels: any matrix between queries and keys."""
    return Written(
        lambda m, x: m.head(leaky((m.q(x) @ m.k(x).mT / 2).softmax(-1) @ m.v(x)).mean(1)),
        **{"q": nn.Linear(3, 2), "k": nn.Linear(3, 2, bias=False), "v": nn.Linear(3, 4), "head": nn.Linear(4, 2)},
    )


@small((4, 3), 3)
def positions_added():
    """A parameter for every place and channel."""
    return Written(
        lambda m, x: m.head((m.a(x) + m.places).relu().mean(1)),
        a=nn.Linear(3, 3, bias=False),
        places=parameter(4, 3),
        head=nn.Linear(3, 2),
    )
