"""Hydra as this package uses it: where ``conf/`` is, which options Hydra 1.3 and 1.4 take, which runs a sweep has.

Only this module uses private state of Hydra, and only to compose beside another Hydra application.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase
from omegaconf import DictConfig

from scaleinv.runs.errors import ConfigError
from scaleinv.runs.search_path import register_search_path
from scaleinv.runs.suggestions import conf_folder

Options = dict[str, Any]


def options(hydra_main: Callable[..., Any]) -> tuple[Options, Options]:
    """Choose the options that the installed version of Hydra takes.

    Hydra 1.3 takes the version whose defaults apply. 1.4 deprecates that and takes the classes it may make: none.

    Args:
        hydra_main: ``hydra.main``.

    Returns:
        The options of ``hydra.main`` and those of ``hydra.initialize_config_dir``.
    """
    if "execution_whitelist" in inspect.signature(hydra_main).parameters:
        return {"execution_whitelist": []}, {}
    return {"version_base": "1.3"}, {"version_base": "1.3"}


_MAIN, _INITIALIZE = options(hydra.main)
# Singletons that `initialize_config_dir` sets for the whole process.
_OF_AN_APPLICATION = (GlobalHydra, JobRuntime, VersionBase)


def run_command(job: Callable[[DictConfig], None]) -> None:
    """Call ``job`` with the configuration of every run that the command line asks for."""
    register_search_path()
    hydra.main(config_path=str(conf_folder()), config_name="config", **_MAIN)(job)()


@contextmanager
def composing() -> Iterator[None]:
    """Let ``hydra.compose`` find ``conf/``; another Hydra application in this process keeps its state.

    Raises:
        ConfigError: there is another one, and the state of this version of Hydra cannot be saved.
    """
    instances: dict[type, Any] | None = getattr(Singleton, "_instances", None)
    if instances is None and GlobalHydra.instance().is_initialized():
        raise ConfigError(
            "another Hydra application runs in this process", "compose", "compose before it starts, or in a process"
        )
    kept: dict[type, Any] = (
        {cls: instances.pop(cls) for cls in _OF_AN_APPLICATION if cls in instances} if instances else {}
    )
    register_search_path()
    try:
        with hydra.initialize_config_dir(str(conf_folder()), **_INITIALIZE):
            yield
    finally:
        if instances is not None:
            for cls in _OF_AN_APPLICATION:
                instances.pop(cls, None)
            instances.update(kept)


def expand(words: Iterable[str]) -> list[list[str]]:
    """List the overrides of every run of a sweep, the last key changing fastest, as ``scaleinv-run -m`` does.

    Args:
        words: overrides such as ``space=weight,gspace``; of two with the same key the later counts.

    Returns:
        One list of overrides per run.

    Raises:
        ConfigError: a value is an interval, which does not give a finite number of runs.
    """
    choices: dict[str, list[str]] = {}
    for override in OverridesParser.create().parse_overrides(list(words)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            values = [override.get_value_element_as_str()]
        elif override.is_discrete_sweep():
            values = list(override.sweep_string_iterator())
        else:
            raise ConfigError(f"{override.input_line} is no list of values", key, f"{key}=1,2,3 or {key}=range(1,4)")
        choices[key] = [f"{key}={value}" for value in values]
    return [list(run) for run in product(*choices.values())]
