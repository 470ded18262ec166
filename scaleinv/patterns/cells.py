"""The cells of a piecewise-linear network on a plane, exactly, by cutting polygons (P 2.2; no sampling)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad, unfold

from scaleinv.patterns.bits import keys, pack
from scaleinv.patterns.plane import Plane
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network, UnsupportedNetworkError
from scaleinv.symmetry.program import Operation

# Operations that are affine in the images, whatever else they read.
AFFINE = {
    *("linear", "addmm", "matmul", "conv1d", "conv2d", "batch_norm", "add", "sub", "rsub", "neg", "mean", "sum"),
    *("avg_pool2d", "adaptive_avg_pool2d", "flatten", "view", "reshape", "unflatten", "permute", "transpose", "t"),
    *("squeeze", "unsqueeze", "contiguous", "clone", "cat", "slice", "select", "dropout", "constant_pad_nd", "pad"),
    *("getitem", "size", "sym_size", "detach", "alias", "_to_copy", "to", "chunk", "split", "expand"),
}
# A line cuts a polygon only if it leaves more than this share of the largest value on both sides of it.
TOLERANCE = 1e-11
# Below every value: what pooling pads with.
LOWEST = -1e30
# Polygons that run through the network at once.
_POLYGONS = 2048


@dataclass(frozen=True)
class Cells:
    """Convex polygons on a square of a plane, on each of which the network is affine.

    Attributes:
        corners: corners of every polygon, counter-clockwise, ``(polygons, most, 2)``; the last one is repeated.
        sizes: number of corners, ``(polygons,)``.
        layers: key of each layer's pattern in every polygon, int64, ``(polygons,)`` per activation layer.
    """

    corners: np.ndarray
    sizes: np.ndarray
    layers: tuple[Tensor, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of patterns of each layer; a pattern of a deeper layer can fill several polygons that do not touch."""
        return tuple(len(key.unique()) for key in self.layers)

    @property
    def total(self) -> int:
        """Number of patterns of all layers together."""
        return len(torch.stack(self.layers, 1).unique(dim=0))

    @property
    def areas(self) -> np.ndarray:
        """Area of every polygon, in the units of u and v."""
        u, v = self.corners[..., 0], self.corners[..., 1]
        return 0.5 * (u * np.roll(v, -1, 1) - v * np.roll(u, -1, 1)).sum(1)

    @property
    def centres(self) -> Tensor:
        """A point inside of every polygon, the mean of its corners, ``(polygons, 2)``."""
        return torch.from_numpy(_centres(self.corners, self.sizes))


def cut(network: Network, tensors: Weights, plane: Plane, half_width: float) -> Cells:
    """Cut the square ``|u|, |v| <= half_width`` of a plane along every line on which an activation changes its sign.

    Layer by layer: on a polygon all that came before is affine, so its values at three points of the plane say where
    the next activation changes sign, and a polygon is cut by one line after the other. Max pooling cuts likewise, along
    the lines on which two of its inputs are equal, but adds no bits. Everything is in float64.

    Args:
        network: description of the network.
        tensors: parameters and buffers of one member, by name, without member dims; evaluation mode.
        plane: the plane.
        half_width: half width of the square.

    Raises:
        UnsupportedNetworkError: an operation is not piecewise linear, or not covered.
    """
    r = float(half_width)
    corners = np.array([[[-r, -r], [r, -r], [r, r], [-r, r]]])
    state = _State(corners, np.array([4]))
    double = {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}
    images = plane.at(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).unflatten(-1, network.inputs)
    with torch.no_grad():
        while (undecided := state.undecided(network, double, images)) is not None:
            state.decide(*undecided)
    if not any(state.is_layer):
        raise UnsupportedNetworkError("the network has no activation, so it has no activation patterns")
    layers = [choice for choice, counts in zip(state.choices, state.is_layer, strict=True) if counts]
    return Cells(state.corners, state.sizes, tuple(_keys(layer) for layer in layers))


class _Undecided(Exception):  # noqa: N818
    """The program has come to a sign that is not known yet."""

    def __init__(self, values: Tensor, is_layer: bool) -> None:
        self.values, self.is_layer = values, is_layer


class _State:
    """The polygons so far, and which side of every kink each lies on.

    Attributes:
        corners: see :class:`Cells`.
        sizes: see :class:`Cells`.
        choices: signs in the order of the program, bools ``(polygons, nodes)``.
        is_layer: whether each of them is an activation's.
    """

    def __init__(self, corners: np.ndarray, sizes: np.ndarray) -> None:
        self.corners, self.sizes = corners, sizes
        self.choices: list[Tensor] = []
        self.is_layer: list[bool] = []

    def undecided(self, network: Network, tensors: Weights, images: Tensor) -> tuple[Tensor, bool] | None:
        """Return the next values whose signs are not known, at three points per polygon, or None at the end.

        Returns:
            Shape ``(polygons, 3, nodes)``, and whether they are the inputs of an activation.
        """
        parts, is_layer = [], False
        for start in range(0, len(self.sizes), _POLYGONS):
            some = slice(start, start + _POLYGONS)
            walker = _Walker([choice[some] for choice in self.choices])
            count = len(self.sizes[some])
            try:
                network.program.run(tensors, images.repeat(count, *[1] * (images.dim() - 1)), walker.visit)
            except _Undecided as stop:
                parts.append(stop.values.unflatten(0, (count, 3)).flatten(2))
                is_layer = stop.is_layer
        return (torch.cat(parts), is_layer) if parts else None

    def decide(self, values: Tensor, is_layer: bool) -> None:
        """Cut every polygon along the lines on which one of ``values`` is zero, and note the signs.

        Args:
            values: values at (0, 0), (1, 0) and (0, 1) of functions that are affine on a polygon,
                ``(polygons, 3, nodes)``.
            is_layer: whether they are the inputs of an activation.
        """
        at = values.numpy()
        # The function c + a u + b v of every polygon and node.
        functions = np.stack([at[:, 0], at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]], -1)
        parent = np.arange(len(functions))
        for node in self._cutting(functions):
            parent = self._cut(functions[:, node], parent)
        functions = functions[parent]
        centres = _centres(self.corners, self.sizes)
        signs = functions[..., 0] + functions[..., 1] * centres[:, :1] + functions[..., 2] * centres[:, 1:] > 0
        self.choices = [choice[torch.from_numpy(parent)] for choice in self.choices] + [torch.from_numpy(signs)]
        self.is_layer.append(is_layer)

    def _cutting(self, functions: np.ndarray) -> np.ndarray:
        """Return the nodes that are zero somewhere inside a polygon, and few others."""
        does_cut = np.zeros(functions.shape[1], dtype=bool)
        for start in range(0, len(functions), _POLYGONS):
            some = slice(start, start + _POLYGONS)
            heights = np.einsum("pnk,pck->pnc", functions[some], _homogeneous(self.corners[some]))
            margin = TOLERANCE * np.abs(heights).max(-1)
            does_cut |= ((heights.max(-1) > margin) & (heights.min(-1) < -margin)).any(0)
        return np.flatnonzero(does_cut)

    def _cut(self, functions: np.ndarray, parent: np.ndarray) -> np.ndarray:
        """Cut by one function per original polygon; return the original polygon of every polygon."""
        heights = np.einsum("pk,pck->pc", functions[parent], _homogeneous(self.corners))
        margin = TOLERANCE * np.abs(heights).max(-1)
        hit = np.flatnonzero((heights.max(-1) > margin) & (heights.min(-1) < -margin))
        if not len(hit):
            return parent
        above = _half(self.corners[hit], self.sizes[hit], heights[hit])
        below = _half(self.corners[hit], self.sizes[hit], -heights[hit])
        most = max(self.corners.shape[1], above[0].shape[1], below[0].shape[1])
        corners = _widened(self.corners, most)
        corners[hit] = _widened(above[0], most)
        self.sizes[hit] = above[1]
        self.corners = np.concatenate([corners, _widened(below[0], most)])
        self.sizes = np.concatenate([self.sizes, below[1]])
        return np.concatenate([parent, parent[hit]])


class _Walker:
    """Runs a program on polygons, three points each, with known signs."""

    def __init__(self, choices: list[Tensor]) -> None:
        self._choices, self._next = choices, 0

    def visit(self, operation: Operation, args: tuple, kwargs: dict) -> Any:
        """Compute one operation; see :meth:`scaleinv.symmetry.program.Program.run`.

        Raises:
            _Undecided: it depends on signs that are not known yet.
            UnsupportedNetworkError: it is not covered.
        """
        kind = operation.short.removesuffix("_")
        if kind in _KINKS:
            return _KINKS[kind](self._sign, *args, **kwargs)
        if kind in AFFINE:
            return operation.target(*args, **kwargs)
        raise UnsupportedNetworkError(f"{operation} is not known to be piecewise linear, so no cells can be cut")

    def _sign(self, values: Tensor, is_layer: bool = True) -> Tensor:
        """Return whether values are above zero on each polygon; they are no longer values at points."""
        if self._next == len(self._choices):
            raise _Undecided(values, is_layer)
        choice = self._choices[self._next].repeat_interleave(3, 0)
        self._next += 1
        return choice.view(values.shape)


Sign = Callable[..., Tensor]


def _relu(sign: Sign, z: Tensor) -> Tensor:
    return torch.where(sign(z), z, 0.0)


def _leaky_relu(sign: Sign, z: Tensor, slope: float = 0.01) -> Tensor:
    return torch.where(sign(z), z, slope * z)


def _prelu(sign: Sign, z: Tensor, slope: Tensor) -> Tensor:
    return torch.where(sign(z), z, slope.view(-1, *[1] * (z.dim() - 2)) * z)


def _hardtanh(sign: Sign, z: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """ReLU6 is a hardtanh from 0 to 6; its pattern is the sign of its input, its other kink only cuts."""
    if low != 0:
        raise UnsupportedNetworkError(f"an activation that is constant below {low} has no pattern of signs")
    return torch.where(sign(z), torch.where(sign(z - high, is_layer=False), high, z), low)


def _max_pool(
    sign: Sign, z: Tensor, size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """Find the largest entry of every window, comparing two at a time."""
    if ceil_mode:
        raise UnsupportedNetworkError("max pooling with ceil_mode is not covered, so no cells can be cut")
    (height, width), (down, right) = _pair(size), _pair(stride or size)
    (rows, columns), (row_gap, column_gap) = _pair(padding or 0), _pair(dilation)
    padded = pad(z, (columns, columns, rows, rows), value=LOWEST)
    single = padded.flatten(0, 1)[:, None]
    windows = unfold(single, (height, width), (row_gap, column_gap), 0, (down, right)).unflatten(0, z.shape[:2])
    best, *others = windows.unbind(2)
    for other in others:
        best = torch.where(sign(other - best, is_layer=False), other, best)
    return best.unflatten(2, ((padded.shape[2] - row_gap * (height - 1) - 1) // down + 1, -1))


def _pair(value: Any) -> tuple[int, int]:
    return (value[0], value[-1]) if isinstance(value, list | tuple) else (value, value)


_KINKS: dict[str, Callable[..., Tensor]] = {
    **{"relu": _relu, "leaky_relu": _leaky_relu, "prelu": _prelu, "_prelu_kernel": _prelu},
    **{"hardtanh": _hardtanh, "relu6": lambda sign, z: _hardtanh(sign, z, 0.0, 6.0), "max_pool2d": _max_pool},
}


def _keys(choice: Tensor) -> Tensor:
    return keys(pack(choice.T[None].to(torch.int8)))[0]


def _homogeneous(corners: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((*corners.shape[:2], 1)), corners], -1)


def _centres(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    is_corner = np.arange(corners.shape[1]) < sizes[:, None]
    return (corners * is_corner[..., None]).sum(1) / sizes[:, None]


def _widened(corners: np.ndarray, most: int) -> np.ndarray:
    """Repeat the last corner until there are ``most``."""
    missing = most - corners.shape[1]
    return np.concatenate([corners, np.repeat(corners[:, -1:], missing, 1)], 1) if missing else corners.copy()


def _half(corners: np.ndarray, sizes: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of every polygon where an affine function is not negative: its corners and their number.

    Args:
        corners: ``(polygons, most, 2)``.
        sizes: number of corners of each.
        heights: value of the function at every corner, ``(polygons, most)``.
    """
    most = corners.shape[1]
    index = np.arange(most)
    after = np.where(index + 1 < sizes[:, None], index + 1, 0)
    is_corner = index < sizes[:, None]
    next_heights = np.take_along_axis(heights, after, 1)
    next_corners = np.take_along_axis(corners, after[..., None], 1)
    crosses = is_corner & (heights * next_heights < 0)
    share = np.where(crosses, heights / np.where(crosses, heights - next_heights, 1.0), 0.0)
    crossings = corners + share[..., None] * (next_corners - corners)
    # After every corner that stays, the point where the edge after it crosses the line.
    points = np.stack([corners, crossings], 2).reshape(len(corners), 2 * most, 2)
    stays = np.stack([is_corner & (heights >= 0), crosses], 2).reshape(len(corners), 2 * most)
    order = np.argsort(~stays, 1, kind="stable")
    count = stays.sum(1)
    order = np.take_along_axis(order, np.minimum(np.arange(count.max()), count[:, None] - 1), 1)
    return np.take_along_axis(points, order[..., None], 1), count
