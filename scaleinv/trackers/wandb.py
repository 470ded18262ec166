"""Runs of Weights & Biases."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from scaleinv.runs.errors import ConfigError
from scaleinv.trackers.base import FINISHED, TrackedMember, TrackedRun, Tracker

MODES = ("online", "offline", None)


@dataclass(frozen=True)
class Wandb(Tracker):
    """One run of a project per member, all at once; the members of a grid are a group.

    Attributes:
        project: name of the project.
        entity: user or team; None takes your default.
        mode: ``online`` or ``offline``; None takes ``$WANDB_MODE`` or, without that, online.
        folder: where wandb keeps its files, in ``folder/wandb``.
    """

    needs = ("wandb", "wandb")
    project: str
    entity: str | None
    mode: str | None
    folder: str

    def __post_init__(self) -> None:
        """Check the mode."""
        if self.mode not in MODES:
            raise ValueError(f"mode must be online, offline or null, got {self.mode!r}")

    def check(self) -> None:
        """Check that there is a key, which wandb would ask for in the middle of the run; see :meth:`Tracker.check`."""
        super().check()
        import wandb

        if (self.mode or os.environ.get("WANDB_MODE", "online")) != "online":
            return
        try:
            has_key = wandb.login(prompt=False, verify=False)
        except Exception as error:  # a key that is none, or an older wandb
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"wandb refuses: {first}", "tracker", "mend the key, or pip install --upgrade wandb"
            ) from error
        if not has_key:
            mend = "run wandb login, or set tracker.mode=offline"
            raise ConfigError("wandb has no key of yours on this machine", "tracker", mend)

    def open(self, member: TrackedMember) -> "WandbRun":
        """Open the run, whose id follows from group and name; see :meth:`Tracker.open`."""
        import wandb

        folder = Path(self.folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        return WandbRun(
            wandb.init(
                project=self.project,
                entity=self.entity,
                mode=cast(Literal["online", "offline"] | None, self.mode),
                dir=str(folder),
                id=hashlib.sha256(f"{member.group} {member.name}".encode()).hexdigest()[:16],
                name=member.name,
                group=member.group,
                config=dict(member.config),
                tags=member.tags,
                resume="allow",
                reinit="create_new",
                # No capture of what the command prints, no statistics of the machine: a thread of each per member.
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
        )


class WandbRun(TrackedRun):
    """See :class:`Wandb`. Of an epoch that the server has, it keeps the first record."""

    def __init__(self, run: Any) -> None:
        """Take over a run that is open."""
        self._run = run

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Hand one record to wandb's own process; see :meth:`TrackedRun.write`."""
        self._run.log(dict(numbers), step=step, commit=True)

    def close(self, ending: str) -> None:
        """Finish the run; see :meth:`TrackedRun.close`."""
        self._run.finish(exit_code=0 if ending == FINISHED else 1)
