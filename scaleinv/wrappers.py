"""Spaces for a model and a training loop of your own: three thin shells over a chart.

They take what :func:`scaleinv.symmetry.trace.describe` covers, and refuse everything else by name.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

from scaleinv.spaces.base import Chart, ParameterSpace
from scaleinv.spaces.fixed import FixedWeightSpace
from scaleinv.symmetry.trace import describe


class SpaceOptimizer(torch.optim.Optimizer):
    """Any optimizer of ``torch.optim``, working on a model's coordinates in a space.

    The model stays an ordinary model and the loop an ordinary loop; learning-rate schedulers see the wrapped
    optimizer's parameter groups. Its state is kept from step to step.

    Example:
        >>> optimizer = SpaceOptimizer(model, GSpace(), torch.optim.Adam, lr=1e-3, betas=(0.9, 0.99))
        >>> loss_function(model(images), labels).backward()
        >>> optimizer.step()
    """

    chart: Chart

    def __init__(
        self,
        model: nn.Module,
        space: ParameterSpace,
        optimizer_class: type[torch.optim.Optimizer],
        **options: Any,
    ) -> None:
        """Make the chart at the model's weights, write its starting weights into the model, make the optimizer.

        Args:
            model: on its final device; its weights change here if the space overwrites some.
            space: which coordinates.
            optimizer_class: from ``torch.optim`` or with its interface.
            **options: of that class.

        Raises:
            UnsupportedNetworkError: the model has a part that is not described.
            UnsupportedSpaceError: the space cannot take the model.
        """
        self.space = space
        self._graph = describe(model).graph
        parameters = dict(model.named_parameters())
        self._weights = {name: parameters[name] for name in self._graph.shapes}
        self._graph = self._graph.to(next(iter(self._weights.values())).device)
        self._set_chart({name: p.detach().clone() for name, p in self._weights.items()})
        self._coords = {name: nn.Parameter(c.clone()) for name, c in self.chart.origin.items()}
        self.inner = optimizer_class(list(self._coords.values()), **options)
        super().__init__(list(self._coords.values()), self.inner.defaults)
        self.param_groups, self.state = self.inner.param_groups, self.inner.state
        self._write()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step in the coordinates and write the new weights into the model.

        Args:
            closure: evaluates the model and returns the loss, for optimizers that need it (LBFGS).

        Raises:
            RuntimeError: the weights were changed since the last step, other than by this optimizer.
        """
        if self._versions != [p._version for p in self._weights.values()]:
            raise RuntimeError("the weights were changed outside of the optimizer; call recenter() before backward()")
        if closure is None:
            self._pull()
            result = self.inner.step()
        else:

            def at_the_coordinates() -> Any:
                self._write()
                with torch.enable_grad():
                    loss = closure()
                self._pull()
                return loss

            result = self.inner.step(at_the_coordinates)
        self._write()
        return result

    def recenter(self) -> None:
        """Take over weights that were changed from outside; the function and the optimizer's state stay."""
        self.chart = self.chart.at({name: p.detach().clone() for name, p in self._weights.items()})
        with torch.no_grad():
            for name, c in self.chart.origin.items():
                self._coords[name].copy_(c)
        self._write()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of the model."""
        for parameter in self._weights.values():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return the wrapped optimizer's state, the coordinates, and the weights that the chart was made at."""
        coords = {name: c.detach().clone() for name, c in self._coords.items()}
        return {**self.inner.state_dict(), "coords": coords, "chart": self._made_at}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore all of :meth:`state_dict`, and write the weights into the model."""
        self._set_chart(state_dict["chart"])
        self.inner.load_state_dict({key: state_dict[key] for key in ("state", "param_groups")})
        self.param_groups, self.state = self.inner.param_groups, self.inner.state
        with torch.no_grad():
            for name, c in state_dict["coords"].items():
                self._coords[name].copy_(c)
        self._write()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse: the coordinates belong together."""
        if hasattr(self, "_versions"):
            raise NotImplementedError("the coordinates of a model form one group")
        super().add_param_group(param_group)

    def _set_chart(self, weights: Mapping[str, Tensor]) -> None:
        self._made_at = dict(weights)
        self.chart = self.space.chart(self._graph, self._made_at)

    def _pull(self) -> None:
        """Set the coordinates' gradients from the model's."""
        grads = {n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in self._weights.items()}
        pulled = self.chart.pullback({name: p.detach() for name, p in self._weights.items()}, grads)
        for name, g in pulled.items():
            self._coords[name].grad = g

    @torch.no_grad()
    def _write(self) -> None:
        """Write the weights at the coordinates into the model."""
        for name, w in self.chart.to_weights(self._coords).items():
            self._weights[name].copy_(w)
        self._versions = [p._version for p in self._weights.values()]


class SpaceModule(nn.Module):
    """A model whose ``parameters()`` are its coordinates in a space.

    Every call computes the weights from the coordinates, so autograd gives gradients by the coordinates, and
    anything that works on parameters (optimizers, Laplace approximations, Hessians) works on the space.

    Example:
        >>> module = SpaceModule(model, CycleSpace())
        >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    """

    def __init__(self, model: nn.Module, space: ParameterSpace) -> None:
        """Make the chart at the model's weights; the model itself is left alone.

        Args:
            model: on its final device.
            space: which coordinates.

        Raises:
            UnsupportedNetworkError: the model has a part that is not described.
            UnsupportedSpaceError: the space cannot take the model.
        """
        super().__init__()
        weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        graph = describe(model).graph.to(next(iter(weights.values())).device)
        self.chart = space.chart(graph, weights)
        self._model = (model,)  # in a tuple, so that its weights are no parameters of this module
        for name, c in self.chart.origin.items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(c.clone()))

    def weights(self) -> dict[str, Tensor]:
        """Return the weights at the coordinates, under the model's names; differentiable."""
        coords = {name.replace("/", "."): c for name, c in self.named_parameters()}
        return self.chart.to_weights(coords)

    def forward(self, *inputs: Any) -> Any:
        """Call the model with the weights at the coordinates."""
        return functional_call(self._model[0], self.weights(), inputs)

    @torch.no_grad()
    def write_back(self) -> nn.Module:
        """Write the weights at the coordinates into the model, and return it."""
        parameters = dict(self._model[0].named_parameters())
        for name, w in self.weights().items():
            parameters[name].copy_(w)
        return self._model[0]


class _Fixed(nn.Module):
    """Replace some entries of a tensor by constants."""

    mask: Tensor
    values: Tensor

    def __init__(self, mask: Tensor, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.register_buffer("values", values)

    def forward(self, tensor: Tensor) -> Tensor:
        return torch.where(self.mask, self.values, tensor)


def fix_weights(model: nn.Module, value: float | None = 1.0, skeleton: str | Mapping = "default") -> dict[str, Tensor]:
    """Fix one outgoing weight of every hidden node, in place (thesis, chapter 3).

    The fixed entries become constants by ``torch.nn.utils.parametrize``, so no optimizer, momentum or weight decay
    moves them. ``parametrize.remove_parametrizations`` makes ordinary weights of them again.

    Args:
        model: what :func:`scaleinv.symmetry.trace.describe` covers.
        value: to set them to; None keeps what they are.
        skeleton: which: ``default``, ``maxprod``, ``hungarian``, ``log_hungarian``, or explicit lists.

    Returns:
        For every tensor with fixed entries, a mask that is True at them.

    Raises:
        UnsupportedNetworkError: the model has a part that is not described.
        UnsupportedSpaceError: the model has no hidden node.
    """
    space = FixedWeightSpace(skeleton, "keep") if value is None else FixedWeightSpace(skeleton, "overwrite", value)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    chart = space.chart(describe(model).graph.to(next(iter(weights.values())).device), weights)
    masks = chart.fixed()
    for name, mask in masks.items():
        owner, _, tensor = name.rpartition(".")
        parametrize.register_parametrization(model.get_submodule(owner), tensor, _Fixed(mask, chart.weights[name]))
    return masks
