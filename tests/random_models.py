"""Random models of the operations that a description covers, as hypothesis draws and shrinks them."""

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

ACTIVATIONS = {
    "relu": torch.relu,
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "abs": torch.abs,
    "clamp": lambda x: x.clamp(min=0),
    "tanh": torch.tanh,
}
MOVES = {
    "max_pool": lambda x: F.max_pool2d(x, 2, stride=1, padding=1),
    "avg_pool": lambda x: F.avg_pool2d(x, 2, stride=1),
    "upsample": lambda x: F.interpolate(x, scale_factor=2, mode="nearest")[:, :, :4, :4],
    "pad": lambda x: F.pad(x, (0, 1, 1, 0)),
    "roll": lambda x: x.roll(1, 1),
    "flip": lambda x: x.flip(1),
    "shuffle": lambda x: x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2) if x.shape[1] % 2 == 0 else x,
    "halves": lambda x: sum(x.chunk(2, 1)) if x.shape[1] % 2 == 0 else x,
    "swap": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "twice": lambda x: torch.cat([x, -x], 1) if x.shape[1] < 5 else x,
    "slice": lambda x: x[:, :, :3, :3],
    "scale": lambda x: -2 * x / 3,
}
STEPS = st.one_of(
    st.tuples(st.just("conv"), st.integers(1, 4), st.sampled_from([1, 2, 3]), st.booleans()),
    st.tuples(st.just("transposed"), st.integers(1, 4)),
    st.tuples(st.just("grouped")),
    st.tuples(st.just("norm")),
    st.tuples(st.just("prelu")),
    st.tuples(st.just("again")),
    st.tuples(st.just("activation"), st.sampled_from(sorted(ACTIVATIONS))),
    st.tuples(st.just("move"), st.sampled_from(sorted(MOVES))),
    st.tuples(st.just("residual"), st.integers(1, 4), st.lists(st.sampled_from(["relu", "leaky", "norm"]), max_size=2)),
    st.tuples(st.just("dense"), st.integers(1, 3)),
    st.tuples(st.just("gate")),
)
RECIPES = st.lists(STEPS, min_size=2, max_size=6)


class Cooked(nn.Module):
    """A stem, the steps of a recipe on images ``(batch, 2, 4, 4)``, and two linear layers."""

    def __init__(self, recipe):
        """Make the parts while one pass goes through them."""
        super().__init__()
        self.recipe, self.parts = recipe, nn.ModuleList([nn.Conv2d(2, 4, 2)])
        self.calls = [("stem",), *recipe]
        made = [[self.parts[0]]]
        with torch.no_grad():
            x = torch.randn(3, 2, 4, 4)
            x = self._step(made[0], self.calls[0], x)
            for call in recipe:
                parts = made[-1] if call[0] == "again" else self._parts_of(call, x)
                if call[0] == "again" and not self._fits(parts, x):
                    parts = []
                made.append(parts)
                self.parts.extend(p for p in parts if all(p is not q for q in self.parts))
                x = self._step(parts, call, x)
            width = x.shape[1]
        self.head = nn.Sequential(nn.Linear(width, 3), nn.ReLU(), nn.Linear(3, 2))
        self.made = made

    def forward(self, x):
        for call, parts in zip(self.calls, self.made, strict=True):
            x = self._step(parts, call, x)
        return self.head(x.mean((2, 3)))

    def _fits(self, parts, x):
        return len(parts) == 1 and isinstance(parts[0], nn.Conv2d) and parts[0].in_channels == x.shape[1]

    def _parts_of(self, call, x):
        channels = x.shape[1]
        match call:
            case ("conv", width, size, bias):
                return [nn.Conv2d(channels, width, size, padding=1, bias=bias)]
            case ("transposed", width):
                return [nn.ConvTranspose2d(channels, width, 2)]
            case ("grouped",):
                return [nn.Conv2d(channels, channels, 2, padding=1, groups=channels)]
            case ("norm",):
                return [nn.BatchNorm2d(channels)]
            case ("prelu",):
                return [nn.PReLU(channels)]
            case ("residual", width, between):
                norm = [nn.BatchNorm2d(width)] if "norm" in between else []
                return [nn.Conv2d(channels, width, 1), *norm, nn.Conv2d(width, channels, 1)]
            case ("dense", width):
                return [nn.Conv2d(channels, width, 3, padding=1)]
            case ("gate",):
                return [nn.Linear(channels, channels)]
        return []

    def _step(self, parts, call, x):
        match call:
            case ("residual", _, between):
                y = parts[0](x)
                y = parts[1](y) if len(parts) == 3 else y
                return x + parts[-1](F.leaky_relu(y, 0.2) if "leaky" in between else y.relu())
            case ("dense", _):
                return torch.cat([x, parts[0](x).relu()], 1)
            case ("gate",):
                return x * parts[0](x.mean((2, 3))).sigmoid()[:, :, None, None]
            case ("activation", name):
                return ACTIVATIONS[name](x)
            case ("move", name):
                return MOVES[name](x)
        for part in parts:
            x = part(x)
        return x.relu() if call[0] in ("stem", "grouped", "again") else x
