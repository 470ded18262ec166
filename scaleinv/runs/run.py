"""Do what a configuration says, once: lock its folder, skip what is done, leave an account of failures."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from scaleinv.runs.config import Config
from scaleinv.runs.devices import device_taken
from scaleinv.runs.environment import checkout, list_devices, set_up
from scaleinv.runs.errors import RunFailedError, UserError, file_trouble
from scaleinv.runs.folder import DamagedError, RunFolder, now, write_atomically
from scaleinv.runs.outcomes import complain
from scaleinv.runs.progress import note
from scaleinv.runs.provenance import changes, sources


def run(config: Config) -> str:
    """Run a configuration, or skip it if it is done.

    Args:
        config: a checked configuration.

    Returns:
        A summary of the result, usually one line.

    Raises:
        UserError: the run was not started; the message says why.
        RunFailedError: the run stopped; the traceback is in the folder's ``error.txt``.
    """
    folder = RunFolder(config.folder)
    config.tracker.check()
    if config.tracker.is_on and not config.task.is_tracked:
        note(f"task={config.choices['task']} has no epochs, so its tracker gets nothing")
    list_devices(config.device)  # raises if there is none
    with _refused(folder.path):
        if not config.rerun and folder.is_done:
            folder.read_metrics()  # raises if they are not what the run wrote
            config.task.require_kept(config, folder)
            config.task.track(config, folder)
            before = f"done before, {folder.manifest['rows']} rows (rerun=true trains again)"
            return "\n  ".join([before, *notes(config)])
    with device_taken(config) as config:
        return _start(config, folder)


def _start(config: Config, folder: RunFolder) -> str:
    """Check that the task can be done, then do it in the folder, locked."""
    set_up(list_devices(config.device)[0], config.threads, config.tf32)
    with _refused(config.dataset.root):
        config.task.prepare(config)
    with _refused(folder.path), folder.locked():
        if config.rerun:
            folder.clear()
        elif folder.metrics.exists() and not folder.manifest:
            raise DamagedError(
                "metrics.csv has no manifest beside it", folder.metrics, "move it away, or start with rerun=true"
            )
        folder.write_config(config.resolved, config.command)
        if folder.is_begun:  # it resumes; its manifest keeps the digests of the code that began it
            for changed in notes(config):
                complain(f"  {changed}")
            folder.update_manifest(status="running")
        else:
            folder.update_manifest(status="running", sources=sources(config), choices=config.choices)
        return _work(config, folder)


def notes(config: Config) -> list[str]:
    """Return a note if other code made a run's records, else an empty list."""
    manifest = RunFolder(config.folder).manifest
    changed = changes(manifest, sources(config), checkout())
    return [f"note: made by other code: {'; '.join(changed)}; rerun=true trains again with this one"] if changed else []


def _work(config: Config, folder: RunFolder) -> str:
    """Do the task in a locked folder; if it stops early, record that in the folder."""
    try:
        return config.task.run(config, folder)
    except UserError:
        raise
    except Exception as error:
        account = folder.path / "error.txt"
        with suppress(OSError):  # the disk may be full
            write_atomically(account, traceback.format_exc().encode())
        _end(folder, "failed")
        if isinstance(error, OSError):
            raise RunFailedError(*file_trouble(error, folder.path)) from error
        first = (str(error).strip() or "no message").splitlines()[0]
        raise RunFailedError(f"{type(error).__name__}: {first}", account, "the same command tries again") from error
    except BaseException:  # Ctrl-C or SIGTERM; the last checkpoint stays
        _end(folder, "interrupted")
        raise


def _end(folder: RunFolder, status: str) -> None:
    """Record how a run ended, if the manifest can be written."""
    with suppress(OSError, DamagedError):
        folder.update_manifest(status=status, ended=now())


@contextmanager
def _refused(path: object) -> Iterator[None]:
    """Turn an error of the operating system into a :class:`UserError`; nothing has been started yet."""
    try:
        yield
    except OSError as error:
        raise UserError(*file_trouble(error, path)) from error
