"""Tensors of a run's members beside its CSV: written stack by stack, and made one file when the run ends.

``<kind>.safetensors`` holds stacked tensors ``(members, ...)`` in the order of the grid: seeds outermost, then the axes
in the order in which the manifest lists them, learning rates innermost.
"""

from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

from scaleinv.runs.folder import RunFolder


def save_part(folder: RunFolder, kind: str, first: int, tensors: Mapping[str, Tensor]) -> None:
    """Write down the tensors of a finished stack, if it has any.

    Args:
        folder: of the run.
        kind: one of ``scaleinv.runs.folder.KINDS``.
        first: number of the stack's first member.
        tensors: by name, ``(members, ...)``.
    """
    if tensors:
        own = {name: t.cpu().contiguous() for name, t in tensors.items()}
        folder.write_part(kind, f"{first:09d}", safetensors.torch.save(own))


def join_parts(folder: RunFolder, kind: str, note: Mapping[str, str] | None = None) -> None:
    """Make one file of the parts of all stacks; it can be repeated after a death in the middle.

    Args:
        folder: of the run.
        kind: see :func:`save_part`.
        note: metadata of the file, one entry at most: of several, the order in the file is not the same every time.
    """
    if parts := folder.parts(kind):
        stacks = [safetensors.torch.load_file(part) for part in parts]
        whole = {name: torch.cat([stack[name] for stack in stacks]) for name in stacks[0]}
        folder.join(kind, safetensors.torch.save(whole, metadata=dict(note) if note else None))
