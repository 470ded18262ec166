"""Trained weights: which are kept, where, and how to load them into a plain ``nn.Module``.

``weights.safetensors`` in a run's folder holds stacked tensors ``<what>/<parameter>`` of shape ``(members, ...)``,
where ``<what>`` is ``last``, ``best`` or a number of epochs; ``best/epoch`` and ``best/val_loss`` are each member's
best epoch and its loss. Running statistics and other buffers are kept like parameters.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from torch import Tensor, nn

from scaleinv.runs.config import AXES, Config, parse
from scaleinv.runs.defaults import defaults
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.folder import WEIGHTS, RunFolder
from scaleinv.runs.records import MissingError, read_config
from scaleinv.training.cell import Member, list_members

LAST, BEST = "last", "best"
# Entry of the file's metadata: the shape of an input, then the number of outputs.
SIZES = "inputs and outputs"
_EPOCH, _LOSS = "epoch", "val_loss"
# What is kept beside the tensors of a module.
_NOTES = {_EPOCH, _LOSS}


class Keeper:
    """The kept weights of one stack while it trains; ``tensors`` is part of the checkpoint."""

    def __init__(self, keep: str | Sequence[int] | None, epochs: int) -> None:
        """Prepare to keep weights.

        Args:
            keep: ``last``, ``best``, a list of epochs, or None for nothing.
            epochs: number of epochs of the run.
        """
        self._best = keep == BEST
        listed = [epochs] if keep == LAST else [] if keep is None or isinstance(keep, str) else keep
        self._names = {epoch: LAST if keep == LAST else str(epoch) for epoch in listed}
        self.tensors: dict[str, Tensor] = {}

    def see(self, epoch: int, weights: Mapping[str, Tensor], val_loss: Tensor) -> None:
        """Keep the weights after an epoch if they are wanted.

        Args:
            epoch: number of trained epochs; 0 before the first.
            weights: parameters and buffers of the stack, ``(members, ...)``; copied.
            val_loss: validation losses, ``(members,)``; the lowest is the best, NaN counts as infinite.
        """
        if (name := self._names.get(epoch)) is not None:
            self.tensors |= {f"{name}/{n}": w.to("cpu", copy=True).contiguous() for n, w in weights.items()}
        if self._best:
            self._improve(epoch, weights, val_loss.double().nan_to_num(nan=float("inf"), posinf=float("inf")))

    def _improve(self, epoch: int, weights: Mapping[str, Tensor], val_loss: Tensor) -> None:
        if not self.tensors:
            self.tensors = {f"{BEST}/{n}": w.to("cpu", copy=True).contiguous() for n, w in weights.items()}
            self.tensors |= {f"{BEST}/{_EPOCH}": torch.full(val_loss.shape, epoch), f"{BEST}/{_LOSS}": val_loss}
            return
        is_better = val_loss < self.tensors[f"{BEST}/{_LOSS}"]
        for n, w in weights.items():
            self.tensors[f"{BEST}/{n}"][is_better] = w.cpu()[is_better]
        self.tensors[f"{BEST}/{_EPOCH}"][is_better] = epoch
        self.tensors[f"{BEST}/{_LOSS}"][is_better] = val_loss[is_better]


def has_weights(folder: RunFolder) -> bool:
    """Whether a finished run kept weights."""
    return folder.whole(WEIGHTS).is_file()


def load_model(run: str | Path, member: int | Mapping[str, Any] = 0, kept: str | int | None = None) -> nn.Module:
    """Return a trained member of a run as a plain module, in evaluation mode, on the CPU.

    Args:
        run: folder of the run.
        member: index in the grid (in the manifest's order of the axes), or values of columns of the records that
            identify it, e.g. ``{"lr": 0.1, "seed": 0}``.
        kept: ``last``, ``best`` or a number of epochs; None if the run kept only one of these.

    Returns:
        A fresh module of the run's network that computes the logits of normalised images: ``(batch, features)`` for a
        chain, else ``(batch, channels, height, width)``.

    Raises:
        MissingError: the run is not finished, or did not keep these weights.
        ConfigError: ``member`` fits no member, or more than one.
    """
    folder = RunFolder(Path(run))
    config = _config(folder)
    state, (*inputs, outputs) = _state(folder, _index(config, member), kept)
    model = config.network.network(tuple(inputs), outputs).make()
    model.to(next(t.dtype for t in state.values() if t.is_floating_point()))
    model.load_state_dict(state)
    return model.eval()


def kept_weights(name: str, member: Member, beside: Path) -> dict[str, Tensor]:
    """Return the weights that a run kept for a member of another one.

    Args:
        name: ``run@kept``; the run is a folder, or the name of one in ``beside``.
        member: the other run's member. Of the run's members, the one with its seed and its value on every axis of
            both is taken; if the run has no member with that seed, the seed does not count.
        beside: folder with runs.

    Returns:
        Parameters and buffers by name, ``(own shape)``.

    Raises:
        MissingError: there is no such run, or it did not keep these weights.
        ConfigError: several members of the run fit.
    """
    run, _, kept = name.rpartition("@")
    folder = RunFolder(beside / run if (beside / run).is_dir() else Path(run))
    config = _config(folder)
    listed = list_members(config.seeds, config.axes)
    fitting = [one for one in listed if one.seed == member.seed] or listed
    fitting = [one for one in fitting if all(one.at[key] == at for key, at in member.at.items() if key in one.at)] or (
        fitting if len(fitting) == 1 else []
    )
    if len(fitting) != 1:
        what = f"{len(fitting)} members of {run} fit the one with seed {member.seed} at {dict(member.at)}"
        raise ConfigError(what, "penalties", "name a run with one member per seed, or with the same grid")
    return _state(folder, fitting[0].index, kept)[0]


def kept_state(run: Path, index: int, kept: str) -> dict[str, Tensor]:
    """Return what a finished run kept of one member: parameters and buffers by name, ``(own shape)``.

    Raises:
        MissingError: it did not keep this.
    """
    return _state(RunFolder(run), index, kept)[0]


def _config(folder: RunFolder) -> Config:
    """Read the configuration of a finished run that kept weights.

    Raises:
        MissingError: it is not finished, or kept none.
    """
    if not folder.is_done:
        raise MissingError("there is no finished run", folder.path, "run it first; its folder is printed at the end")
    if not has_weights(folder):
        raise MissingError("the run kept no weights", folder.path, "run it again with keep=last (or best) rerun=true")
    # Keys that were added after the run was made take their defaults, which reproduce the earlier behaviour.
    return parse(OmegaConf.create({**defaults(), **read_config(folder.path)}))


def _state(folder: RunFolder, index: int, kept: str | int | None) -> tuple[dict[str, Tensor], list[int]]:
    """Read one member's parameters and buffers, and the shape of an input followed by the number of outputs."""
    with safe_open(folder.whole(WEIGHTS), "pt") as file:
        keys = list(file.keys())
        names = {name.split("/", 1)[0] for name in keys}
        what = str(kept) if kept is not None else next(iter(names)) if len(names) == 1 else ""
        if what not in names:
            there = ", ".join(sorted(names))
            raise MissingError(f"the run kept {there}, not {kept}", folder.whole(WEIGHTS), f"say kept= one of {there}")
        own = [name.removeprefix(f"{what}/") for name in keys if name.startswith(f"{what}/")]
        sizes = list(map(int, file.metadata()[SIZES].split()))
        # A slice, not a number: safetensors 0.4 takes no other.
        part = slice(index, index + 1)
        return {name: file.get_slice(f"{what}/{name}")[part][0] for name in own if name not in _NOTES}, sizes


def _index(config: Config, member: int | Mapping[str, Any]) -> int:
    grid = [
        {"seed": one.seed, "value": None, **{AXES.get(key, key): number for key, number in one.at.items()}}
        for one in list_members(config.seeds, config.axes)
    ]
    if isinstance(member, int):
        if not 0 <= member < len(grid):
            raise ConfigError(f"there is no member {member}: the run has {len(grid)}", "member")
        return member
    meant = [i for i, own in enumerate(grid) if all(own.get(name, ...) == value for name, value in member.items())]
    if len(meant) != 1:
        raise ConfigError(
            f"{len(meant)} members are {dict(member)}", "member", f"the first is {grid[0]}, the last {grid[-1]}"
        )
    return meant[0]


def require_kept(config: Config, folder: RunFolder) -> None:
    """Check that a finished run kept weights if the configuration asks for weights.

    Raises:
        UserError: it did not; the message says how to get them.
    """
    if config.keep is not None and not has_weights(folder):
        raise UserError("the run is done, but it kept no weights", folder.path, "rerun=true trains it again")
