"""Do what a configuration says, once: lock its folder, skip what is done, leave an account of failures."""

import shlex
import sys
import traceback

from scaleinv.runs.config import Config
from scaleinv.runs.environment import checkout, pick_device, set_up
from scaleinv.runs.errors import RunFailedError, UserError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.provenance import changes, sources


def run(config: Config, command: str | None = None) -> str:
    """Run a configuration, or skip it if it is done.

    Args:
        config: checked.
        command: to keep beside the records; None takes this process's own.

    Returns:
        One line that says what came out.

    Raises:
        UserError: nothing was started; it says why.
        RunFailedError: the run stopped; the traceback is in the folder's ``error.txt``.
    """
    folder = RunFolder(config.folder)
    set_up(pick_device(config.device), config.threads, config.tf32)
    if not config.rerun and folder.is_done:
        folder.read_metrics()  # refuses them if they are not what the run wrote
        config.task.require_kept(config, folder)
        return "\n  ".join([f"done before, {folder.manifest['rows']} rows (rerun=true trains again)", *_notes(config)])
    config.task.prepare(config)
    with folder.locked():
        if config.rerun:
            folder.clear()
        folder.write_config(config.resolved, command or shlex.join(["scaleinv-run", *sys.argv[1:]]))
        if folder.is_begun:  # and goes on; the code that began it stays in its manifest
            for note in _notes(config):
                print(f"  {note}", file=sys.stderr)
            folder.update_manifest(status="running")
        else:
            folder.update_manifest(status="running", sources=sources(config))
        try:
            return config.task.run(config, folder)
        except UserError:
            raise
        except Exception as error:
            (folder.path / "error.txt").write_text(traceback.format_exc())
            folder.update_manifest(status="failed")
            first = (str(error).strip() or "no message").splitlines()[0]
            raise RunFailedError(
                f"{type(error).__name__}: {first}", folder.path / "error.txt", "the same command tries again"
            ) from error
        except BaseException:  # Ctrl-C or SIGTERM; the last checkpoint stands
            folder.update_manifest(status="interrupted")
            raise


def _notes(config: Config) -> list[str]:
    """Say that other code made a run's records, if it did."""
    manifest = RunFolder(config.folder).manifest
    found = changes(manifest, sources(config), checkout())
    return [f"note: made by other code: {'; '.join(found)}; rerun=true trains again with this one"] if found else []
