"""Tensors of a run's members, stored beside its CSV: one file per stack, joined into one when the run ends.

``<kind>.safetensors`` holds stacked tensors ``(members, ...)`` in the order of the grid: seeds outermost, then the axes
in the order in which the manifest lists them, learning rates innermost.
"""

from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

from scaleinv.runs.folder import RunFolder


def save_part(folder: RunFolder, kind: str, first: int, tensors: Mapping[str, Tensor]) -> None:
    """Write the tensors of a finished stack, if it has any.

    Args:
        folder: folder of the run.
        kind: one of ``scaleinv.runs.folder.KINDS``.
        first: index of the stack's first member.
        tensors: tensors by name, ``(members, ...)``.
    """
    if tensors:
        own = {name: t.cpu().contiguous() for name, t in tensors.items()}
        folder.write_part(kind, f"{first:09d}", safetensors.torch.save(own))


def join_parts(folder: RunFolder, kind: str, note: Mapping[str, str] | None = None) -> None:
    """Join the files of all stacks into one; it can be repeated if it was killed in the middle.

    Args:
        folder: folder of the run.
        kind: see :func:`save_part`.
        note: metadata of the file, at most one entry: the order of several would differ from time to time.
    """
    if parts := folder.parts(kind):
        stacks = [safetensors.torch.load_file(part) for part in parts]
        whole = {name: torch.cat([stack[name] for stack in stacks]) for name in stacks[0]}
        folder.join(kind, safetensors.torch.save(whole, metadata=dict(note) if note else None))
