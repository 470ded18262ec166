"""How runs ended, in words for a person and in exit codes for a shell. Knows no torch."""

import json
import re
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scaleinv.runs.errors import ConfigError, RunFailedError, UserError
from scaleinv.runs.suggestions import did_you_mean, known_keys

if TYPE_CHECKING:
    from scaleinv.runs.config import Config

DONE, FAILED, REFUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
# Exit code of the run or sweep that ended in this process.
_code = DONE


@cache  # Hydra 1.4 deprecates naming it twice
def register_summary() -> None:
    """Make Hydra tell :class:`Summary` when a sweep ends, whichever launcher ran it."""
    node = {"scaleinv": {"_target_": "scaleinv.runs.outcomes.Summary"}}
    ConfigStore.instance().store(group="hydra/callbacks", name="scaleinv_summary", node=node)


def exit_code() -> int:
    """Return the exit code of a command that raised nothing."""
    return _code


def terminate(signum: int, frame: Any) -> None:
    """Handle SIGTERM: end in good order, resumable."""
    sys.exit(TERMINATED)


def report(config: "Config", ending: str) -> None:
    """Print where a run's records are and what came out."""
    print(f"{config.folder}\n  {ending}", flush=True)


@contextmanager
def guarded() -> Iterator[None]:
    """Turn an error of a run into words and an exit code, so that one cell of a sweep fails without the others."""
    global _code
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    is_sweep = hydra.mode == RunMode.MULTIRUN
    _code = DONE
    try:
        yield
    except Exception as error:
        if is_sweep:
            print(f"[{' '.join(overrides)}]", file=sys.stderr)
        _code = explain(error)
    if is_sweep:
        folder = Path(hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = {"overrides": overrides, "code": _code}
        (folder / f"{hydra.job.num}.outcome.json").write_text(json.dumps(outcome))


class Summary(Callback):
    """At the end of a sweep, say which cells failed and how to run them again."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read the outcomes that the jobs left in the sweep's folder."""
        global _code
        folder = Path(OmegaConf.select(config, "hydra.sweep.dir"))
        files = sorted(folder.glob("*.outcome.json"), key=lambda path: int(path.name.split(".")[0]))
        outcomes = [json.loads(path.read_text()) for path in files]
        bad = [outcome for outcome in outcomes if outcome["code"]]
        print(f"{len(outcomes) - len(bad)} of {len(outcomes)} cells done", flush=True)
        for outcome in bad:
            print(f"  failed; run again: scaleinv-run {' '.join(outcome['overrides'])}", file=sys.stderr)
        codes = {outcome["code"] for outcome in bad}
        _code = codes.pop() if len(codes) == 1 else (FAILED if codes else DONE)
        if not bad:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # another sweep may have its folder beside it
                folder.parent.rmdir()


def explain(error: BaseException) -> int:
    """Say in at most three lines what is wrong, where, and how to mend it; return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, HydraException | OmegaConfBaseException):
        error = _translate(error)
    if isinstance(error, UserError):
        print(error, file=sys.stderr)
        return REFUSED
    if isinstance(error, RunFailedError):
        print(error, file=sys.stderr)
    else:  # not foreseen: a bug of ours, and the traceback is what we would ask for
        traceback.print_exception(error)
    return FAILED


def check_repeats(arguments: Sequence[str]) -> None:
    """Refuse a command that gives one key two values; Hydra would take the last.

    Raises:
        ConfigError: naming the key.
    """
    given: dict[str, str] = {}
    for argument in arguments:
        key, separator, value = argument.partition("=")
        if argument.startswith("-") or not separator:
            continue
        key = key.lstrip("+")
        if given.setdefault(key, value) != value:
            raise ConfigError(f"{key} is given twice, as {given[key]} and as {value}", key, "leave one of them out")


def _translate(error: Exception) -> UserError:
    """Turn an error of Hydra's or OmegaConf's into ours."""
    text = "\n".join(str(e) for e in (error, error.__cause__) if e)
    if found := re.search(r"Could not override '([^']+)'|Could not delete from config\. '([^']+)'", text):
        key = found[1] or found[2]
        return ConfigError(f"there is no key {key}", key, did_you_mean(key, known_keys()))
    if found := re.search(r"Could not find '([^'/]+)/([^']+)'", text):
        group, name = found[1], found[2]
        options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        return ConfigError(f"there is no {group} {name!r}", group, did_you_mean(name, options))
    if found := re.search(r"Ambiguous value for argument '([^=]+)=([^']*)'", text):
        key, value = found[1], found[2]
        return ConfigError(
            f"{key}={value} is several values",
            key,
            f"write '{key}=[{value}]' for one stack, or add -m for one run each",
        )
    if re.search("parsing override|viable alternative|mismatched input|extraneous input|missing .* at", text):
        return ConfigError(
            f"cannot read the command: {text.splitlines()[0]}", "", "write key=value; put brackets and commas in quotes"
        )
    lines = [line for line in text.splitlines() if line.strip()]
    return ConfigError(lines[0] if lines else type(error).__name__)
