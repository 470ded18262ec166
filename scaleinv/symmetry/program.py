"""A model as a list of ATen operations: a function of named tensors that others can visit, operation by operation."""

import logging
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

IMAGES = "images"

Visitor = Callable[["Operation", tuple, dict], Any]


class UnsupportedNetworkError(ValueError):
    """The model has a part that no description covers; the message names it and says why."""


@dataclass(frozen=True)
class Value:
    """A tensor, buffer, constant or result of an operation, by name; it stands in the arguments of operations."""

    name: str


@dataclass(frozen=True)
class Operation:
    """One operation of a program.

    Attributes:
        name: name of its result; no parameter or buffer has the same.
        target: what is called, e.g. ``torch.ops.aten.conv2d.default``; ``operator.getitem`` and arithmetic of sizes
            occur too.
        module: dotted path of the module that called it, ``""`` for the model itself.
        args: positional arguments, with :class:`Value` instead of tensors and of computed sizes.
        kwargs: keyword arguments, likewise.
        inputs: names of all values in the arguments, in order.
        last: names that no later operation reads.
    """

    name: str
    target: Callable[..., Any]
    module: str
    args: tuple
    kwargs: dict[str, Any]
    inputs: tuple[str, ...]
    last: tuple[str, ...] = field(repr=False, default=())

    def __str__(self) -> str:
        """Return the operation's short name and the module path."""
        return f"{self.short} in module {self.module or '(the model)'}"

    @property
    def writes_in_place(self) -> bool:
        """Whether it changes an argument's memory."""
        return isinstance(self.target, torch._ops.OpOverload) and self.target._schema.is_mutable

    @property
    def returns(self) -> int:
        """Number of results."""
        return len(self.target._schema.returns) if isinstance(self.target, torch._ops.OpOverload) else 1

    @property
    def short(self) -> str:
        """The target's name without namespace and overload, e.g. ``conv2d``; functional forms have the usual name."""
        name = str(getattr(self.target, "overloadpacket", getattr(self.target, "__name__", self.target)))
        return re.sub(r"^_native_(\w+)_legit\w*$", r"\1", name.split(".")[-1])


@dataclass(frozen=True)
class Program:
    """A model as ATen operations, for any number of images: ``outputs = run(tensors, images)``.

    Operations are those that the model calls (``conv2d``, ``linear``, ``batch_norm``, ``relu``), not their
    decompositions; an operation in place is replaced by the ordinary one wherever nothing else reads its memory.

    Attributes:
        operations: in the order of computation.
        outputs: what the model returns, with :class:`Value` instead of tensors.
        names: names of the parameters and buffers that are read; one used under several names has the first.
        parameters: those of them that are parameters.
        constants: tensors that the model makes when it is called, or keeps outside its ``state_dict``.
        inputs: shape of one input.
        batch: number of images that the model was traced with, if its operations hold for no other; else None.
        dtype: floating dtype of the traced model; that of the tensors of a run replaces it.
    """

    operations: tuple[Operation, ...]
    outputs: Any
    names: tuple[str, ...]
    parameters: tuple[str, ...]
    constants: dict[str, Tensor]
    inputs: tuple[int, ...]
    batch: int | None
    dtype: torch.dtype

    @classmethod
    def trace(cls, model: nn.Module, example: Tensor, training: bool = False, functional: bool = False) -> "Program":
        """Record the operations of a model with ``torch.export``; nothing is computed, and the model is not changed.

        Args:
            model: any module that takes one tensor.
            example: images ``(batch, *inputs)``; only their shape, dtype and device matter.
            training: whether the operations are those of training mode. Running such a program updates running
                statistics in place, as the module does, and drops out at random.
            functional: whether no operation at all may work in place. Writing into a part of a tensor becomes
                ``slice_scatter`` and the like, ``batch_norm`` becomes ``_native_batch_norm_legit_functional`` or
                ``_native_batch_norm_legit_no_training``, and running statistics are not updated.

        Raises:
            UnsupportedNetworkError: the model cannot be traced; the message says what stopped it.
        """
        if example.dim() < 1 or not len(example):
            raise UnsupportedNetworkError(f"an example is a batch of images, got shape {tuple(example.shape)}")
        exported = _export(model, example, training)
        if functional:
            exported = exported.run_decompositions({})
        return _Reader(model, exported).program(tuple(example.shape[1:]))

    @property
    def writes_in_place(self) -> bool:
        """Whether an operation changes a tensor in place that depends on the images or on parameters."""
        dependent = {IMAGES, *self.parameters}
        for at in self.operations:
            if not dependent.isdisjoint(at.inputs):
                if at.writes_in_place:
                    return True
                dependent.add(at.name)
        return False

    def run(self, tensors: Mapping[str, Any], images: Any, visit: Visitor | None = None) -> Any:
        """Compute the outputs; differentiable, under ``torch.func.vmap`` too.

        Args:
            tensors: parameters and buffers by ``state_dict`` name; whatever ``visit`` understands in their place.
            images: inputs ``(batch, *inputs)``; likewise.
            visit: called with every operation, its arguments and its keyword arguments in place of the operation's
                target; what it returns is handed to later operations as its result.

        Returns:
            What the model returns.

        Raises:
            KeyError: a tensor is missing.
            UnsupportedNetworkError: the operations hold for another number of images only.
        """
        if self.batch is not None and isinstance(images, Tensor) and images.shape[0] != self.batch:
            raise UnsupportedNetworkError(
                f"the model computes with the number of images: it was traced with {self.batch}, got {len(images)};"
                " trace it with an example of that many, or write x.shape[0] for len(x)"
            )
        values: dict[str, Any] = {name: tensors[name] for name in self.names}
        values |= self._converted(values, images)
        values[IMAGES] = images
        adapt = self._adapter(values, images)
        for at in self.operations:
            args, kwargs = adapt(_fill(at.args, values)), adapt(_fill(at.kwargs, values))
            values[at.name] = at.target(*args, **kwargs) if visit is None else visit(at, args, kwargs)
            for name in at.last:
                del values[name]
        return _fill(self.outputs, values)

    def _converted(self, values: Mapping[str, Any], images: Any) -> dict[str, Tensor]:
        like = self._like(values, images)
        return {
            name: c.to(like.device, like.dtype if c.dtype == self.dtype else c.dtype)
            for name, c in self.constants.items()
        }

    def _like(self, values: Mapping[str, Any], images: Any) -> Tensor:
        """Return a tensor that has the dtype and the device of a run; the CPU's where a run has no tensors."""
        tensors = (t for t in (*values.values(), images) if isinstance(t, Tensor) and t.is_floating_point())
        return next(tensors, torch.empty(0, dtype=self.dtype))

    def _adapter(self, values: Mapping[str, Any], images: Any) -> Callable[[Any], Any]:
        """Return a function that replaces the traced dtype and device by those of the run."""
        like = self._like(values, images)

        def adapt(argument: Any) -> Any:
            if isinstance(argument, torch.dtype):
                return like.dtype if argument == self.dtype else argument
            if isinstance(argument, torch.device):
                return like.device
            if isinstance(argument, tuple | list):
                return type(argument)(map(adapt, argument))
            return {key: adapt(a) for key, a in argument.items()} if isinstance(argument, dict) else argument

        return adapt


def _fill(argument: Any, values: Mapping[str, Any]) -> Any:
    """Put values in the places of their names."""
    match argument:
        case Value():
            return values[argument.name]
        case tuple() | list():
            filled = [_fill(a, values) for a in argument]
            return type(argument)(*filled) if hasattr(argument, "_fields") else type(argument)(filled)
        case dict():
            return {key: _fill(a, values) for key, a in argument.items()}
        case slice():
            return slice(*(_fill(a, values) for a in (argument.start, argument.stop, argument.step)))
    return argument


def _export(model: nn.Module, example: Tensor, training: bool) -> Any:
    """Trace with any number of images, or if the model computes with that number, with the example's, at least two."""
    from torch.export import Dim, export  # takes seconds to import

    with _mode(model, training), _quiet():
        # One image would be a special case to the tracer: every dim of size one is. It marks what it is handed.
        images = example.expand(2, *example.shape[1:]).clone() if len(example) == 1 else example.clone()
        try:
            return export(model, (images,), dynamic_shapes=({0: Dim.DYNAMIC},), strict=False)
        except Exception as dynamic:
            try:
                return export(model, (images.detach().clone(),), strict=False)
            except Exception:
                reason = str(dynamic).strip().split("\n")[0] or type(dynamic).__name__
                raise UnsupportedNetworkError(
                    f"{type(model).__name__} cannot be traced by torch.export ({type(dynamic).__name__}: {reason});"
                    " it must run on the example, and its operations must not depend on the values of tensors"
                ) from dynamic


@contextmanager
def _quiet() -> Any:
    """Keep the tracer from printing pages about what it tries: what ends a trace is said by the error."""
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _mode(model: nn.Module, training: bool) -> Any:
    """Put a model into training or evaluation mode for a while."""
    before = {part: part.training for part in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for part, mode in before.items():
            part.training = mode


class _Reader:
    """Reads an exported program."""

    def __init__(self, model: nn.Module, exported: Any) -> None:
        _inline_no_grad(exported.graph_module)
        self.exported = exported
        signature = exported.graph_signature
        canonical = _canonical(model)
        kept = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.named: dict[str, str] = {}
        self.constants: dict[str, Tensor] = {}
        for placeholder, name in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items():
            self.named[placeholder] = canonical.get(name, name)
        for placeholder, name in signature.inputs_to_lifted_tensor_constants.items():
            self.named[placeholder] = f"constant {name}"
            self.constants[f"constant {name}"] = exported.constants[name].detach()
        stored = model.state_dict(keep_vars=True).keys()
        for name in self.named.values():
            if name in kept and name not in stored:  # a buffer that is not persistent
                self.constants[name] = kept[name].detach()
        self.parameters = set(dict(model.named_parameters()))
        self.floating = next((t.dtype for t in kept.values() if t.is_floating_point()), torch.float32)

    def program(self, inputs: tuple[int, ...]) -> Program:
        """Write the program."""
        nodes = [node for node in self.exported.graph.nodes if node.op == "call_function" and not _is_check(node)]
        for node in self.exported.graph.nodes:
            if node.op not in ("placeholder", "call_function", "output"):
                raise UnsupportedNetworkError(
                    f"{node.target} ({node.op}) in module {_path(node) or '(the model)'} is not covered: a forward that"
                    " switches gradients or branches on tensors; call it without"
                )
        (user,) = self.exported.graph_signature.user_inputs
        self.named[user] = IMAGES
        taken = set(self.named.values())
        for node in nodes:
            name = node.name
            while name in taken:
                name += "_"
            self.named[node.name] = name
        (output,) = (node for node in self.exported.graph.nodes if node.op == "output")
        # A functional program returns what would have been written into buffers first.
        of_buffers = len(self.exported.graph_signature.buffers_to_mutate)
        returned = pytree.tree_unflatten(self._values(output.args[0])[of_buffers:], self.exported.call_spec.out_spec)
        last = _last_reads(nodes)
        functional = _safely_functional(nodes)
        operations = tuple(
            self._operation(node, node in functional, tuple(self.named[n.name] for n in last[node])) for node in nodes
        )
        read = {name for at in operations for name in at.inputs} | set(_names(returned))
        image = next(n for n in self.exported.graph.nodes if n.name == user).meta["val"]
        names = [name for name in dict.fromkeys(self.named.values()) if self._is_stored(name) and name in read]
        return Program(
            operations,
            returned,
            tuple(names),
            tuple(name for name in names if name in self.parameters),
            {name: constant for name, constant in self.constants.items() if name in read},
            inputs,
            None if isinstance(image.shape[0], torch.SymInt) else int(image.shape[0]),
            self.floating,
        )

    def _is_stored(self, name: str) -> bool:
        placeholders = (*self.exported.graph_signature.inputs_to_parameters,)
        placeholders += (*self.exported.graph_signature.inputs_to_buffers,)
        return name not in self.constants and name in {self.named[p] for p in placeholders}

    def _operation(self, node: fx.Node, functional: bool, last: tuple[str, ...]) -> Operation:
        target = _functional(node.target) if functional else node.target
        args, kwargs = self._values(node.args), self._values(dict(node.kwargs))
        assert callable(target)
        return Operation(self.named[node.name], target, _path(node), args, kwargs, tuple(_names((args, kwargs))), last)

    def _values(self, argument: Any) -> Any:
        """Put names in the places of nodes."""
        match argument:
            case fx.Node():
                return Value(self.named[argument.name])
            case tuple():
                return tuple(map(self._values, argument))
            case list():
                return list(map(self._values, argument))
            case dict():
                return {key: self._values(a) for key, a in argument.items()}
            case slice():
                return slice(*map(self._values, (argument.start, argument.stop, argument.step)))
        return argument


def _inline_no_grad(module: fx.GraphModule) -> None:
    """Put operations under ``torch.no_grad()``, which the tracer keeps in a block, among the others, and detach."""
    graph = module.graph
    for block in [node for node in graph.nodes if str(node.target) == "wrap_with_set_grad_enabled"]:
        switched_on, inner, *operands = block.args
        body = list(getattr(module, inner.target).graph.nodes)
        if switched_on or any(node.op == "get_attr" for node in body):
            continue  # gradients on again inside: refused where it is read
        values = dict(zip((node for node in body if node.op == "placeholder"), operands, strict=True))
        results = []
        with graph.inserting_before(block):
            for node in body:
                if node.op == "call_function":
                    values[node] = graph.node_copy(node, values.__getitem__)
            (output,) = (node for node in body if node.op == "output")
            for node in output.args[0]:
                results.append(graph.call_function(torch.ops.aten.detach.default, (values[node],)))
                results[-1].meta = dict(values[node].meta)
        for user in list(block.users):
            user.replace_all_uses_with(results[user.args[1]])
            graph.erase_node(user)
        graph.erase_node(block)
        if not inner.users:
            graph.erase_node(inner)


def _canonical(model: nn.Module) -> dict[str, str]:
    """Return the first name of every parameter and buffer, by all its names."""
    first: dict[int, str] = {}
    names = {}
    for listed in (model.named_parameters, model.named_buffers):
        for name, tensor in listed(remove_duplicate=False):
            names[name] = first.setdefault(id(tensor), name)
    return names


def _names(argument: Any) -> list[str]:
    """List the names of all values in an argument, each once."""
    found: dict[str, None] = {}

    def collect(argument: Any) -> None:
        match argument:
            case Value():
                found[argument.name] = None
            case tuple() | list():
                for a in argument:
                    collect(a)
            case dict():
                collect(tuple(argument.values()))
            case slice():
                collect((argument.start, argument.stop, argument.step))

    collect(argument)
    return list(found)


def _last_reads(nodes: list[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    """Return for every operation the results that nothing reads after it."""
    kept = {node for node in nodes if any(user.op == "output" for user in node.users)}
    last: dict[fx.Node, list[fx.Node]] = {node: [] for node in nodes}
    done: set[fx.Node] = set()
    computed = set(nodes)
    for node in reversed(nodes):
        for value in (*node.all_input_nodes, node):
            if value in computed and value not in done and value not in kept:
                done.add(value)
                last[node].append(value)
    return last


def _path(node: fx.Node) -> str:
    """Return the dotted path of the module that called an operation."""
    stack = node.meta.get("nn_module_stack")
    path = list(stack.values())[-1][0] if stack else ""
    return re.sub(r"@\d+", "", path)  # the tracer counts the calls of a module


def _is_check(node: fx.Node) -> bool:
    """Return whether a node only checks something while it runs."""
    return not node.users and "assert" in str(node.target)


def _functional(target: Any) -> Any:
    """Return the operation that does the same as one in place, but with memory of its own; None if there is none."""
    if not isinstance(target, torch._ops.OpOverload) or not target._schema.is_mutable:
        return None
    name = target._opname.removesuffix("_")
    if name == target._opname:
        return None
    packet = getattr(torch.ops.aten, name, None)
    return getattr(packet, target._overloadname, None)


def _safely_functional(nodes: list[fx.Node]) -> set[fx.Node]:
    """Return the operations in place of which nothing but their own result shows it: no other value shares the memory.

    What is written in place into a view of something that is read later stays in place.
    """
    order = {node: i for i, node in enumerate(nodes)}
    group: dict[fx.Node, list[fx.Node]] = {}
    safe = set()
    for node in nodes:
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        if _functional(node.target) is not None and source in group:
            readers = [user for one in group[source] for user in one.users if user is not node and user in order]
            returned = any(user.op == "output" for one in group[source] for user in one.users)
            if not returned and all(order[reader] < order[node] for reader in readers):
                safe.add(node)
                group[node] = [node]
                continue
        if source is not None and source in order and _may_alias(node.target):
            group[node] = group.get(source, [])
            group[node].append(node)
        elif not _may_alias(node.target):
            group[node] = [node]
    return safe


def _may_alias(target: Any) -> bool:
    """Return whether a result may share memory with the first argument."""
    if not isinstance(target, torch._ops.OpOverload):
        return target is operator.getitem
    may_return_the_same = ("contiguous", "reshape", "flatten", "unflatten", "to", "type_as", "dropout", "expand_as")
    return target._opname in may_return_the_same or any(r.alias_info is not None for r in target._schema.returns)
