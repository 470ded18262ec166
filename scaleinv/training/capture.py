"""A training step as one CUDA graph: hundreds of small kernels, launched as one."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class CaptureError(RuntimeError):
    """A step cannot be captured; the message says why. The state is as before."""


class CapturedStep:
    """A step that was captured once and is replayed on new inputs of the same shapes."""

    def __init__(
        self, step: Callable[..., Tensor], inputs: Sequence[Tensor], state: Sequence[Tensor], warm_up: int = 3
    ) -> None:
        """Capture ``step``.

        Args:
            step: works in place, and never waits for the device; returns one tensor.
            inputs: example arguments of the step.
            state: the tensors that the step changes; restored before this returns.
            warm_up: number of steps before the capture, which lets libraries allocate their workspaces.

        Raises:
            CaptureError: the step does something that a graph cannot hold.
        """
        self._inputs = [t.clone() for t in inputs]
        before = [t.clone() for t in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warm_up):
                step(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        _restore(state, before)
        self._graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self._graph):
                self._result = step(*self._inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            _restore(state, before)
            message = (str(error).strip() or "no message").splitlines()[0]
            raise CaptureError(f"{type(error).__name__}: {message}") from error

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Take the step on ``inputs``; the next call overwrites the result."""
        for own, new in zip(self._inputs, inputs, strict=True):
            own.copy_(new)
        self._graph.replay()
        return self._result


def _restore(state: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    for tensor, old in zip(state, before, strict=True):
        tensor.copy_(old)
