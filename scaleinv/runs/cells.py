"""The runs of one command, one or with ``-m`` many: the outcome of each is reported, whichever launcher runs it.

torch is imported only when a run starts.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from scaleinv.runs.composing import shell_command, surroundings
from scaleinv.runs.errors import ConfigError, RunFailedError, ScaleinvError
from scaleinv.runs.folder import write_atomically
from scaleinv.runs.hydra_app import GridParser
from scaleinv.runs.outcomes import DONE, FAILED, INTERRUPTED, complain, explain, say
from scaleinv.runs.sweeps import ZIP, ZippedSweeper, is_zipped, sweep_words


@dataclass(frozen=True)
class Ending:
    """How a run ended: what the process that ran it returns.

    Attributes:
        code: exit code.
        objective: number that a sweeper minimises; infinite if the run failed, None if there is none.
        number: number of the cell, from 0; None for a run that is not part of a sweep.
    """

    code: int
    objective: float | None
    number: int | None = None


def run_once(composed: DictConfig, heading: str = "") -> Ending:
    """Run what Hydra composed and print how it ended; errors are printed, not raised, so that other cells go on."""
    hydra = HydraConfig.get()
    number = None if hydra.mode is None or not heading else int(hydra.job.num)
    try:
        from scaleinv.runs.config import parse
        from scaleinv.runs.objective import objective
        from scaleinv.runs.run import run

        config = parse(composed, hydra)
        ending = run(config)
        say(f"{heading}{config.folder}\n  {ending}")
        return Ending(DONE, objective(config), number)
    except Exception as error:
        if heading:
            complain(heading.rstrip())
        return Ending(explain(error), math.inf, number)


@dataclass
class Cell:
    """The function that launchers call for every cell of a sweep, in this process or in another.

    Attributes:
        shared: keys that have one value in all cells; the others are printed in the heading of each cell.
        total: number of cells launched so far; it grows during a search.
    """

    shared: frozenset[str]
    total: int = 0

    def __call__(self, composed: DictConfig) -> Ending:
        """Run one cell."""
        hydra = HydraConfig.get()
        own = [word for word in hydra.overrides.task if word.partition("=")[0] not in self.shared]
        return run_once(composed, f"[{hydra.job.num + 1}/{self.total}] {' '.join(own)}\n")


@dataclass
class Account:
    """The runs that one command launched, and how they ended.

    Attributes:
        launched: overrides of every cell, by its number.
        endings: endings of the cells that returned one, by number.
        single: ending of the one run of a command without a sweep.
        beside: arguments other than overrides, see :func:`scaleinv.runs.composing.surroundings`.
    """

    launched: dict[int, tuple[str, ...]] = field(default_factory=dict)
    endings: dict[int, Ending] = field(default_factory=dict)
    single: Ending | None = None
    beside: tuple[str, ...] = ()

    def run(self, composed: DictConfig) -> None:
        """Make the one run of a command without a sweep; called by Hydra."""
        self.single = run_once(composed)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Wrap every launcher that Hydra makes: only a launcher receives all cells and returns their endings.

        Hydra makes plugins of its own packages only, so the sweeper for ``zip`` takes the place of Hydra's here.
        """
        plugins = Plugins.instance()
        make, make_sweeper = plugins.instantiate_launcher, plugins.instantiate_sweeper

        def watched(*, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Launcher:
            at_the_end.enter_context(_cleared(Path(config.hydra.sweep.dir).absolute()))
            self.beside = surroundings(config.hydra)
            overrides = GridParser.create().parse_overrides(list(config.hydra.overrides.task))
            cell = Cell(frozenset(one.get_key_element() for one in overrides if not one.is_sweep_override()))
            return _Watched(make(hydra_context=hydra_context, task_function=cell, config=config), cell, self)

        def chosen(*, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Sweeper:
            if not is_zipped(sweep_words(config)):
                return make_sweeper(hydra_context=hydra_context, task_function=task_function, config=config)
            if (name := config.hydra.runtime.choices["hydra/sweeper"]) != "basic":
                raise ConfigError(f"the sweeper {name} cannot pair values", ZIP, "leave out zip or hydra/sweeper")
            sweeper = ZippedSweeper()
            sweeper.setup(hydra_context=hydra_context, task_function=task_function, config=config)
            return sweeper

        plugins.instantiate_launcher = watched  # type: ignore[method-assign, assignment]
        plugins.instantiate_sweeper = chosen  # type: ignore[method-assign]
        with ExitStack() as at_the_end:
            try:
                yield
            finally:
                del plugins.instantiate_launcher, plugins.instantiate_sweeper

    def translated(self, error: BaseException) -> BaseException:
        """Turn an error of a launcher or sweeper into a readable one; errors that are readable already stay."""
        known = (ScaleinvError, HydraException, OmegaConfBaseException, OSError, KeyboardInterrupt)
        if not self.launched or isinstance(error, known):
            return error
        first = (str(error).strip() or "no message").splitlines()[0]
        return RunFailedError(
            f"the sweep stopped: {type(error).__name__}: {first}",
            "hydra/launcher, hydra/sweeper",
            "the same command skips what is done and goes on",
        )

    def close(self, code: int = DONE) -> int:
        """Print how many cells are done, and how to run the others again.

        Args:
            code: exit code of an error that ended the command early.

        Returns:
            The exit code of the command.
        """
        if code == INTERRUPTED or not self.launched:
            return code or (self.single.code if self.single else DONE)
        codes = {number: self.endings[number].code if number in self.endings else FAILED for number in self.launched}
        bad = {number: ended for number, ended in codes.items() if ended}
        say(f"{len(codes) - len(bad)} of {len(codes)} cells done")
        for number in bad:
            what = "failed" if number in self.endings else "nothing came back"
            complain(f"  {what}; run again: {shell_command((*self.beside, *self.launched[number]))}")
        exit_codes = {*bad.values(), *([code] if code else [])}
        return exit_codes.pop() if len(exit_codes) == 1 else (FAILED if exit_codes else DONE)


class _Watched(Launcher):
    """A launcher that notes its cells before it starts them, and their endings when they return."""

    def __init__(self, launcher: Launcher, cell: Cell, account: Account) -> None:
        self.launcher, self.cell, self.account = launcher, cell, account

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self.account.launched |= {n: tuple(words) for n, words in enumerate(job_overrides, initial_job_idx)}
        self.cell.total = len(self.account.launched)
        returned = self.launcher.launch(job_overrides, initial_job_idx=initial_job_idx)
        for job in returned:
            if job.status is JobStatus.COMPLETED and isinstance(ending := job.return_value, Ending):
                if ending.number is not None:
                    self.account.endings[ending.number] = ending
                job.return_value = ending.objective
        return returned


@contextmanager
def _cleared(folder: Path) -> Iterator[None]:
    """Remove the list of overrides that Hydra writes into a sweep's folder, or restore the file it replaced.

    Files that sweepers and launchers write there stay.

    Raises:
        ConfigError: Hydra's list would be written through a symbolic link.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    listing = folder / "multirun.yaml"
    if listing.is_symlink():
        raise ConfigError(
            f"Hydra would write through this link to {listing.readlink()}", listing, "choose another hydra.sweep.dir"
        )
    before = listing.read_bytes() if listing.is_file() else None
    try:
        yield
    finally:
        with suppress(OSError):
            if before is None:
                listing.unlink(missing_ok=True)
            elif listing.read_bytes() != before:
                write_atomically(listing, before)
        for path in made:
            with suppress(OSError):  # the folder is not empty
                path.rmdir()
        if made and folder.exists():
            say(f"the sweeper's and the launcher's own files: {folder}")
