"""Which runs a sweep has: every combination of the values of its keys, or ``zip``: the values of some keys in step."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from scaleinv.runs.errors import ConfigError
from scaleinv.runs.hydra_app import GridParser
from scaleinv.runs.suggestions import did_you_mean

ZIP = "zip"


def expand(words: Iterable[str], config_loader: ConfigLoader | None = None) -> list[list[str]]:
    """List the overrides of every run of a sweep, the last key changing fastest, as ``scaleinv-run -m`` does.

    Args:
        words: overrides such as ``space=weight,gspace``; of two with the same key the later counts. The keys that
            ``zip=[space,optimizer.lr]`` names change together: their first values are one run, their second the next.
        config_loader: Hydra's, which a value such as ``glob(g*)`` needs.

    Returns:
        One list of overrides per run, without ``zip``.

    Raises:
        ConfigError: a value is an interval, which does not give a finite number of runs, or fits nothing; or ``zip``
            does not name two or more keys with equally many values.
    """
    choices: dict[str, list[str]] = {}
    together: list[str] = []
    for override in GridParser.create(config_loader).parse_overrides(list(words)):
        key = override.get_key_element()
        if _name(key) == ZIP:
            together = _zipped_keys(override)
            continue
        if not override.is_sweep_override():
            values = [override.get_value_element_as_str()]
        elif override.is_discrete_sweep():
            values = list(override.sweep_string_iterator())
        else:
            raise ConfigError(f"{override.input_line} is no list of values", key, f"{key}=1,2,3 or {key}=range(1,4)")
        if not values:
            raise ConfigError(f"{override.input_line} fits nothing", key, f"write {key}=... with the values")
        choices[key] = [f"{key}={value}" for value in values]
    named = {_name(key): assigned for key, assigned in choices.items()}
    _check_zip(together, named)
    axes: dict[str, list[tuple[str, ...]]] = {}
    for key, assigned in choices.items():
        if _name(key) not in together:
            axes[key] = [(word,) for word in assigned]
        elif ZIP not in axes:  # all keys that change together are one axis, where the first of them stands
            axes[ZIP] = list(zip(*(assigned for name, assigned in named.items() if name in together), strict=True))
    return [[word for part in run for word in part] for run in product(*axes.values())]


def is_zipped(words: Iterable[str]) -> bool:
    """Whether some of these overrides is ``zip``."""
    return any(_name(word.partition("=")[0]) == ZIP for word in words)


def sweep_words(config: DictConfig) -> list[str]:
    """Return the overrides that describe a sweep: those of its configuration file, then those of the command.

    Args:
        config: Hydra's keys, in ``hydra``.
    """
    listed = config.hydra.sweeper.get("params") or {}
    return [*(f"{key}={value}" for key, value in listed.items()), *config.hydra.overrides.task]


class ZippedSweeper(Sweeper):
    """Hydra's own sweeper, for the runs of :func:`expand`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives every sweeper, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Launch every run, ``hydra.sweeper.max_batch_size`` at once.

        Args:
            arguments: overrides of the command; they are in the configuration, too.

        Returns:
            What the launcher returned, by batch.

        Raises:
            ConfigError: see :func:`expand`.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        runs = expand(sweep_words(self.config), self.hydra_context.config_loader)
        size = self.config.hydra.sweeper.max_batch_size
        size = len(runs) if size is None else size
        if size < 1:
            raise ConfigError(f"max_batch_size is {size}", "hydra.sweeper.max_batch_size", "write 1 or more")
        returned: list[Sequence[JobReturn]] = []
        for first in range(0, len(runs), size):
            batch = runs[first : first + size]
            self.validate_batch_is_legal(batch)  # finds mistakes before the first run starts
            jobs = self.launcher.launch(batch, initial_job_idx=first)
            for job in jobs:
                job.return_value  # noqa: B018  raises what the job raised
            returned.append(jobs)
        return returned


def _name(key: str) -> str:
    return key.lstrip("+")


def _zipped_keys(override: Override) -> list[str]:
    """Read the value of ``zip``; ``null`` is none."""
    keys = override.value()
    if keys is None:
        return []
    if not isinstance(keys, list) or len({str(key) for key in keys}) < max(2, len(keys)):
        what = f"{override.input_line} is no list of two or more keys"
        raise ConfigError(what, ZIP, "write zip=[space,optimizer.lr]")
    return [str(key) for key in keys]


def _check_zip(together: Sequence[str], values: Mapping[str, Sequence[str]]) -> None:
    """Check that keys can change together: each has several values, and all have equally many."""
    for key in together:
        if key not in values:
            raise ConfigError(f"zip names {key}, which this sweep does not set", ZIP, did_you_mean(key, list(values)))
        if len(values[key]) == 1:
            raise ConfigError(f"zip names {key}, which has one value", ZIP, "give it more values, or set zip=null")
    if len({len(values[key]) for key in together}) > 1:
        counts = ", ".join(f"{key} {len(values[key])}" for key in together)
        raise ConfigError(f"zip needs equally many values of its keys, but they have: {counts}", ZIP, "make them equal")
