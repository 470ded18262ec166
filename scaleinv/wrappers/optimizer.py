"""Optimizers of PyTorch on the coordinates of a model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scaleinv.spaces.base import Chart, ParameterSpace
from scaleinv.symmetry.graph import Graph
from scaleinv.symmetry.group import require_finite
from scaleinv.symmetry.trace import describe, read_weights
from scaleinv.wrappers._charts import carry, make_chart, require_frozen_kept, to_device


class SpaceOptimizer(torch.optim.Optimizer):
    """Any optimizer of ``torch.optim``, working on a model's coordinates in a space.

    The model stays an ordinary model and the loop an ordinary loop. The parameter groups hold the model's own
    parameters, so gradient clipping (of the gradients by the weights), ``GradScaler``, schedulers and ``zero_grad``
    do what they always do. During :meth:`step` the parameters hold the coordinates, and their gradients the gradients
    by the coordinates; after it they hold the weights again. As in PyTorch, a tensor that has no gradient is skipped
    (in G-space a root has one as soon as a layer after it has).

    Frozen parameters (``requires_grad=False``) stay bit-identical; a space that would change them is refused.

    Example:
        >>> optimizer = SpaceOptimizer(model, GSpace(), torch.optim.Adam, lr=1e-3, betas=(0.9, 0.99))
        >>> loss_function(model(images), labels).backward()
        >>> optimizer.step()
    """

    space: ParameterSpace
    chart: Chart
    inner: torch.optim.Optimizer

    def __init__(
        self,
        model: nn.Module,
        space: ParameterSpace,
        optimizer_class: type[torch.optim.Optimizer],
        example: Tensor | None = None,
        groups: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """Make the chart at the model's weights, write its starting weights into the model, make the optimizer.

        Args:
            model: the model, in its final dtype, on its final device; its weights change here if the space overwrites
                or rescales some.
            space: space of the coordinates.
            optimizer_class: a class of ``torch.optim``, or one that also reads its parameters in ``step()`` only.
            example: inputs ``(batch, *shape)``, which every model but a chain is described by; see
                :func:`scaleinv.symmetry.trace.describe`.
            groups: parameter groups as of ``torch.optim``, of the model's parameters; their options hold for the
                coordinates of these tensors. Parameters in no group form the last.
            **options: options of that class.

        Raises:
            UnsupportedNetworkError: the model has a part that is not described.
            UnsupportedSpaceError: the space cannot take the model, or would change a frozen parameter.
            ValueError: a weight is NaN or infinite, a coordinate does not fit the dtype, or a group holds what is no
                parameter of the model.
        """
        graph = describe(model, example).graph
        made_at = read_weights(model, graph)
        graph = graph.to(next(iter(made_at.values())).device)
        parameters = {name: model.get_parameter(name) for name in graph.shapes}
        chart = make_chart(space, graph, made_at)
        require_frozen_kept(chart, chart.origin, parameters)
        self._assemble(space, graph, parameters, optimizer_class, options, _completed(groups or (), parameters))
        self._place(chart, chart.origin, made_at, None)
        self._write()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step in the coordinates and write the new weights into the model.

        Args:
            closure: evaluates the model and returns the loss, for optimizers that need it (LBFGS).

        Raises:
            RuntimeError: the weights were changed since the last step, other than by this optimizer.
            UnsupportedSpaceError: a parameter was frozen that a step in this space would change.
        """
        self._require_untouched()

        def at_the_weights() -> Any:
            self._to_weights()
            try:
                with torch.enable_grad():
                    loss = closure() if closure else None
                self._require_untouched()
                return loss
            finally:
                self._to_coords()

        self._to_coords()
        try:
            return self.inner.step(at_the_weights) if closure else self.inner.step()
        finally:
            self._to_weights()

    def recenter(self) -> None:
        """Continue from weights that were changed elsewhere; the function and the optimizer's state stay.

        Raises:
            ValueError: a fixed weight has another sign or is zero, so that no rescaling leads to this chart.
            UnsupportedSpaceError: a frozen parameter would change.
        """
        self._require_same_kind()
        weights = {name: p.detach().clone() for name, p in self._parameters.items()}
        require_finite(weights)
        chart = carry(self.space.chart(self._graph, self._made_at), weights)
        require_frozen_kept(chart, chart.origin, self._parameters)
        self._place(chart, chart.origin, self._made_at, weights)
        self._write()

    def state_dict(self) -> dict[str, Any]:
        """Return the wrapped optimizer's state, the coordinates, and all that the chart is made from."""
        return {
            **self.inner.state_dict(),
            "space": repr(self.space),
            "shapes": dict(self._graph.shapes),
            "made_at": self._made_at,
            "recentered_at": self._recentered_at,
            "coords": {name: c.clone() for name, c in self._coords.items()},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore all of :meth:`state_dict`, and write the weights into the model.

        Raises:
            ValueError: it is the state of another space, another network or another dtype; nothing has changed.
        """
        self._require_same_kind()
        own = self.state_dict()
        for key in ("space", "shapes"):
            if state_dict.get(key) != own[key]:
                raise ValueError(
                    f"the state is of another {'space' if key == 'space' else 'network'}: {state_dict.get(key)}, not"
                    f" {own[key]}; load it into an optimizer that is made as the saved one was"
                )
        for name, c in self._coords.items():
            if state_dict["coords"][name].dtype != c.dtype:
                raise ValueError(
                    f"the state is of dtype {state_dict['coords'][name].dtype}, the model of {c.dtype};"
                    " convert the model before the optimizer is made"
                )
        self._restore(state_dict)
        self._write()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse: coordinates are grouped when the optimizer is made."""
        if "inner" in vars(self):
            raise NotImplementedError("a model's coordinates are grouped when the optimizer is made, by groups=[...]")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made from; deep-copied together with the model, it optimizes the model's copy."""
        return {
            "parts": (self.space, self._graph, self._parameters, type(self.inner), self._options, self._groups),
            "state": self.state_dict(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the copy."""
        self._assemble(*state["parts"])
        self._restore(state["state"])

    def _assemble(
        self,
        space: ParameterSpace,
        graph: Graph,
        parameters: dict[str, nn.Parameter],
        optimizer_class: type[torch.optim.Optimizer],
        options: dict[str, Any],
        groups: list[dict[str, Any]],
    ) -> None:
        """Make the wrapped optimizer, on the model's parameters, and share its groups and state."""
        inner = optimizer_class([dict(group) for group in groups], **options)
        super().__init__([dict(group) for group in groups], inner.defaults)
        self.space, self.inner = space, inner
        self.param_groups, self.state = inner.param_groups, inner.state
        self._graph, self._parameters, self._options, self._groups = graph, parameters, options, groups

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Set chart, coordinates and the wrapped optimizer's state, but not the model."""
        device = next(iter(self._parameters.values())).device
        made_at = to_device(state["made_at"], device)
        chart, recentered_at = self.space.chart(self._graph, made_at), state["recentered_at"]
        if recentered_at is not None:
            recentered_at = to_device(recentered_at, device)
            chart = chart.at(recentered_at)
        self.inner.load_state_dict({key: state[key] for key in ("state", "param_groups")})
        self.param_groups, self.state = self.inner.param_groups, self.inner.state
        self._place(chart, to_device(state["coords"], device), made_at, recentered_at)

    def _place(
        self,
        chart: Chart,
        coords: Mapping[str, Tensor],
        made_at: dict[str, Tensor],
        recentered_at: dict[str, Tensor] | None,
    ) -> None:
        """Set the chart, made at ``made_at`` and, unless None, again at ``recentered_at``, and its coordinates."""
        self.chart, self._made_at, self._recentered_at = chart, made_at, recentered_at
        self._coords = {name: c.clone(memory_format=torch.contiguous_format) for name, c in coords.items()}
        self._written = {name: w.clone() for name, w in chart.to_weights(self._coords).items()}
        self._moving = list(self._parameters)  # what a step changes; checked at every step

    def _require_untouched(self) -> None:
        """Refuse weights other than those last written, and newly frozen parameters that a step would change."""
        self._require_same_kind()
        for name, p in self._parameters.items():
            if not _same(p, self._written[name]):
                raise RuntimeError(
                    f"the weights ({name}) were changed outside of the optimizer; call recenter() before backward()"
                )
        moving = [name for name, p in self._parameters.items() if p.requires_grad]
        if moving != self._moving:
            require_frozen_kept(self.chart, self._coords, self._parameters)
            self._moving = moving

    def _require_same_kind(self) -> None:
        for name, p in self._parameters.items():
            kind, now = [(t.dtype, t.device) for t in (self._written[name], p)]
            if kind != now:
                raise RuntimeError(
                    f"{name} was of {kind[0]} on {kind[1]} when the optimizer was made, and is of {now[0]} on {now[1]};"
                    " convert or move the model first, then make its optimizer"
                )

    @torch.no_grad()
    def _to_coords(self) -> None:
        """Let the parameters hold the coordinates, and their gradients the gradients by the coordinates."""
        self._grads = {name: p.grad for name, p in self._parameters.items()}
        usable = {name: g for name in self._moving if (g := self._grads[name]) is not None}
        pulled: dict[str, Tensor] = {}
        if usable:
            weights = {name: p.detach() for name, p in self._parameters.items()}
            grads = {name: usable.get(name, torch.zeros_like(w)) for name, w in weights.items()}
            pulled = self.chart.pullback(weights, grads)
        for name, p in self._parameters.items():
            has_grad = name in usable or (name in self._moving and name in pulled and bool(pulled[name].any()))
            p.grad = pulled[name] if has_grad else None
        for name in self._moving:
            self._parameters[name].copy_(self._coords[name])

    @torch.no_grad()
    def _to_weights(self) -> None:
        """Read the coordinates back, and let the parameters hold the weights there and their own gradients."""
        for name in self._moving:
            self._coords[name].copy_(self._parameters[name])
        self._written = {name: w.clone() for name, w in self.chart.to_weights(self._coords).items()}
        for name in self._moving:
            self._parameters[name].copy_(self._written[name])
        for name, p in self._parameters.items():
            p.grad = self._grads[name]

    @torch.no_grad()
    def _write(self) -> None:
        """Write the weights into the model."""
        for name, w in self._written.items():
            self._parameters[name].copy_(w)


def _completed(groups: Sequence[Mapping[str, Any]], parameters: Mapping[str, nn.Parameter]) -> list[dict[str, Any]]:
    """Return groups of all parameters: the caller's, and one of the rest."""
    own, listed = {id(p) for p in parameters.values()}, []
    for group in groups:
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if not all(id(p) in own for p in params):
            raise ValueError("a group holds what is no parameter of the model")
        listed.append({**group, "params": params})
    grouped = {id(p) for group in listed for p in group["params"]}
    rest = [p for p in parameters.values() if id(p) not in grouped]
    return [*listed, {"params": rest}] if rest else listed


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers; NaN, which training may reach, is the same as NaN."""
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())
