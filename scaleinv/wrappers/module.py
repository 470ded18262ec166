"""Models with coordinates as parameters."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from scaleinv.spaces.base import ParameterSpace
from scaleinv.symmetry.trace import describe, read_weights
from scaleinv.wrappers._charts import make_chart, require_frozen_kept, to_device


class SpaceModule(nn.Module):
    """A model with its coordinates in a space as ``parameters()``.

    Every call computes the weights from the coordinates, so autograd gives gradients by the coordinates, and
    anything that works on parameters (optimizers, Laplace approximations, Hessians) works on the space.

    The submodule ``model`` is a copy of the model without its weights: ``train()``, ``eval()`` and ``to(device)``
    reach it. The weights that the chart was made at are in the ``state_dict()``, so a loaded module computes the same
    function. Coordinates of frozen tensors (``requires_grad=False``) are frozen.

    Example:
        >>> module = SpaceModule(model, CycleSpace())
        >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    """

    def __init__(self, model: nn.Module, space: ParameterSpace, example: Tensor | None = None) -> None:
        """Make the chart at the model's weights; the model itself is not changed.

        Args:
            model: the model, in its final dtype.
            space: space of the coordinates.
            example: inputs ``(batch, *shape)``, which every model but a chain is described by; see
                :func:`scaleinv.symmetry.trace.describe`.

        Raises:
            UnsupportedNetworkError: the model has a part that is not described.
            UnsupportedSpaceError: the space cannot take the model, or would change a frozen parameter.
            ValueError: a weight is NaN or infinite, or a coordinate does not fit the dtype.
        """
        super().__init__()
        graph = describe(model, example).graph
        parameters = {name: model.get_parameter(name) for name in graph.shapes}
        self.space = space
        self._graph = graph
        self._make_chart(read_weights(model, graph))
        require_frozen_kept(self.chart, self.chart.origin, parameters)
        self._original = (model,)  # in a tuple, so that it is no submodule
        self.model = copy.deepcopy(model, {id(p): None for p in model.parameters()})
        # All names of every tensor: a tied one has several, and the copy cannot tell that they are the same.
        names = {id(p): name for name, p in parameters.items()}
        self._names = {name: names[id(p)] for name, p in model.named_parameters(remove_duplicate=False)}
        for name, c in self.chart.origin.items():
            contiguous = c.clone(memory_format=torch.contiguous_format)
            self.register_parameter(_key(name), nn.Parameter(contiguous, parameters[name].requires_grad))

    def weights(self) -> dict[str, Tensor]:
        """Return the weights at the coordinates, under the model's names; differentiable."""
        coords = {name: self._parameters[_key(name)] for name in self._graph.shapes}
        return self.chart.to_weights({name: c for name, c in coords.items() if c is not None})

    def forward(self, *inputs: Any) -> Any:
        """Call the model with the weights at the coordinates."""
        weights = self.weights()
        return functional_call(self.model, {name: weights[first] for name, first in self._names.items()}, inputs)

    @torch.no_grad()
    def write_back(self) -> nn.Module:
        """Write the weights at the coordinates into the model, and return it."""
        for name, w in self.weights().items():
            self._original[0].get_parameter(name).copy_(w)
        return self._original[0]

    def get_extra_state(self) -> dict[str, Any]:
        """Return what the chart is made from, for ``state_dict()``."""
        return {"space": repr(self.space), "made_at": self._made_at}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Make the chart of a saved module."""
        self._make_chart(to_device(state["made_at"], next(self.parameters()).device))

    def _make_chart(self, made_at: dict[str, Tensor]) -> None:
        self._made_at = made_at
        self._graph = self._graph.to(next(iter(made_at.values())).device)
        self.chart = make_chart(self.space, self._graph, made_at)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Load coordinates and chart together or, with a reason, neither."""
        if reason := self._why_not(state_dict, prefix):
            rest[-1].append(reason)  # PyTorch's list of error messages, raised at the end
        else:
            super()._load_from_state_dict(state_dict, prefix, *rest)

    def _why_not(self, state_dict: Mapping[str, Any], prefix: str) -> str:
        """Return why a state dict cannot be loaded; an empty string if it can."""
        state = state_dict.get(f"{prefix}_extra_state")
        saved = {name: state_dict.get(f"{prefix}{_key(name)}") for name in self._graph.shapes}
        if state is None and all(c is None for c in saved.values()):
            return ""  # PyTorch says what is missing, if that matters
        if state is None or any(c is None for c in saved.values()):
            return "coordinates or their chart are missing; save and load the whole module's state_dict()"
        if state["space"] != repr(self.space):
            return f"the coordinates are of {state['space']}, this module's of {self.space!r}; make it with that space"
        own = {name: (w.shape, w.dtype) for name, w in self._made_at.items()}
        for tensors in (state["made_at"], saved):
            if {name: (t.shape, t.dtype) for name, t in tensors.items() if t is not None} != own:
                return "the coordinates are of another network or dtype; make the module from a model like it"
        return ""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SpaceModule":
        """Move the chart with the parameters; refuse another dtype, which would need another chart."""
        like = next(iter(self._made_at.values())).new_empty(0)
        moved = fn(like)
        if moved.dtype != like.dtype:
            raise TypeError(
                f"a SpaceModule cannot go from {like.dtype} to {moved.dtype}: its chart belongs to the dtype;"
                " convert the model (write_back() returns it), then wrap it again"
            )
        super()._apply(fn, recurse)
        if moved.device != like.device:
            self._make_chart(to_device(self._made_at, moved.device))
        return self


def _key(name: str) -> str:
    """Return a parameter name without dots, which PyTorch does not allow."""
    return name.replace(".", "/")
