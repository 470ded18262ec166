"""Compose configurations from overrides, and translate Hydra's errors. Does not import torch."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from hydra import compose
from hydra.conf import HydraConf
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.hydra_app import GridParser, composing
from scaleinv.runs.suggestions import did_you_mean, known_keys


@contextmanager
def composer() -> Iterator[Callable[[Sequence[str]], tuple[DictConfig, HydraConf]]]:
    """Yield a function from overrides to the composed configuration: the keys of ``conf/config.yaml``, and Hydra's own.

    Another Hydra application that runs in this process keeps its state.

    Raises:
        ConfigError: an override is wrong; raised by the function and by the ``with`` statement.
    """

    def composed(overrides: Sequence[str]) -> tuple[DictConfig, HydraConf]:
        if isinstance(overrides, str):
            raise ConfigError(f"overrides are a list, got {overrides!r}", "overrides", f"write [{overrides!r}]")
        check_overrides(overrides)
        whole = compose("config", list(overrides), return_hydra_config=True)
        hydra = whole.hydra
        with open_dict(whole):
            del whole["hydra"]
        return whole, hydra

    try:
        with composing():
            yield composed
    except (HydraException, OmegaConfBaseException) as error:
        raise translated(error) from error


def surroundings(hydra: HydraConf) -> tuple[str, ...]:
    """Return the arguments, besides overrides, that a command must repeat: folders of further configuration files."""
    sources = hydra.runtime.config_sources
    folders = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    return (*folders, *(word for word in hydra.overrides.hydra if word.startswith("hydra.searchpath=")))


def shell_command(arguments: Sequence[str]) -> str:
    """Return the command that makes one run, quoted for the shell.

    An experiment may itself be a sweep with this run as one cell; ``hydra.mode=RUN`` runs only that cell.
    """
    alone = ["hydra.mode=RUN"] if any(word.startswith(("experiment=", "+experiment=")) for word in arguments) else []
    others = [word for word in arguments if not word.startswith("hydra.mode=")]
    return shlex.join(["scaleinv-run", *others, *alone])


def once_each(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with only the last value of every key, which is the one that Hydra uses."""
    return list({word.partition("=")[0].lstrip("+"): word for word in overrides}.values())


def check_repeats(overrides: Sequence[str]) -> None:
    """Refuse a command that gives one key two values. Scripts may do so: they change a list of overrides by appending.

    Raises:
        ConfigError: names the key.
    """
    values: dict[str, str] = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if override.startswith("-") or not separator:
            continue
        key = key.lstrip("+")
        if values.setdefault(key, value) != value:
            raise ConfigError(f"{key} is given twice, as {values[key]} and as {value}", key, "leave one of them out")


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse overrides that Hydra would not understand or would misunderstand.

    Raises:
        ConfigError: a value has no key; or the cells of a sweep would have different numbers of seeds and share some.
    """
    for override in overrides:
        key, separator, value = override.partition("=")
        if separator and not key.strip("+~"):
            raise ConfigError(f"cannot read the command: {override} has no key", "", "write key=value")
        if key == "seeds":
            _check_swept_seeds(value)


def _check_swept_seeds(value: str) -> None:
    """Refuse a sweep over numbers of seeds; Hydra's own grammar decides whether the value is a sweep."""
    with suppress(HydraException):
        override = GridParser.create().parse_override(f"seeds={value}")
        if not override.is_sweep_override() or not override.is_discrete_sweep():
            return
        cells = list(override.sweep_string_iterator())
        if any(re.fullmatch(r"-?\d+", cell) for cell in cells):
            raise ConfigError(
                f"seeds={value} is several values: runs with {', '.join(cells)} seeds would share seeds",
                "seeds",
                f"write seeds=[{value if value.startswith('range') else ','.join(cells)}] for these seeds, in one run",
            )


def translated(error: Exception) -> UserError:
    """Translate an error of Hydra or OmegaConf into a :class:`UserError`."""
    if isinstance(error.__cause__, UserError):  # of a function in an override
        return error.__cause__
    text = "\n".join(str(e) for e in (error, error.__cause__) if e)
    if match := re.search(r"Unknown function '([^']+)'\s+Available: (\S+)", text):
        return ConfigError(f"there is no function {match[1]}", "", did_you_mean(match[1], match[2].split(",")))
    if match := re.search(r"Could not override '([^']+)'|Could not delete from config\. '([^']+)'", text):
        key = match[1] or match[2]
        group = key.partition(".")[0]
        if key in known_keys():  # Hydra also composes a sweep once without the swept keys, which may end up here too
            how = f"choose a {group} that has it; in a sweep over {group} write ++{key}="
            return ConfigError(f"there is no key {key} in the {group} that is chosen", key, how)
        return ConfigError(f"there is no key {key}", key, did_you_mean(key, known_keys()))
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group, name = match[1], match[2]
        options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        how = did_you_mean(name, options)
        if group.startswith("hydra/"):
            how += f"; {name} may have to be installed: pip install hydra-{name}-{group.removeprefix('hydra/')}"
        return ConfigError(f"there is no {group} {name!r}", group, how)
    if match := re.search(r"Ambiguous value for argument '([^=]+)=([^']*)'", text):
        key, value = match[1], match[2]
        return ConfigError(
            f"{key}={value} is several values",
            key,
            f"write '{key}=[{value}]' for one stack, or add -m for one run each",
        )
    if match := re.search(r"Sweep parameters '([^=]+)=(.*)' requires --multirun", text):
        return ConfigError(f"{match[1]}={match[2]} is several values", match[1], "add -m for one run each")
    if re.search(
        "parsing override|LexerNoViableAlt|viable alternative|mismatched input|extraneous input|missing .* at", text
    ):
        return ConfigError(
            f"cannot read the command: {text.splitlines()[0]}", "", "write key=value; put brackets and commas in quotes"
        )
    lines = [line for line in text.splitlines() if line.strip()]
    return ConfigError(lines[0] if lines else type(error).__name__)
