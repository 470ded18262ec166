"""Hydra as this package uses it: where ``conf/`` is, which options Hydra 1.3 and 1.4 take, how it reads overrides.

Only this module uses private state of Hydra: to compose beside another Hydra application, and to compose in half the
time.
"""

import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf

from scaleinv.runs import grids
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.search_path import register_search_path
from scaleinv.runs.suggestions import conf_folder

try:
    from hydra._internal import defaults_list
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.sources_registry import SourcesRegistry

    create_interpolation_map = defaults_list._create_interpolation_map
    embed_result_config = ConfigLoaderImpl._embed_result_config
    IS_QUICK = True
except (ImportError, AttributeError):  # Hydra then composes as it does by itself, in twice the time
    FileConfigSource, IS_QUICK = ConfigSource, False  # type: ignore[misc, assignment]

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


class ParsedOnce(FileConfigSource):
    """A folder of configuration files, each of which is parsed again only after it has changed."""

    # Path -> date and size of the file, and what it held, pickled, because compositions change it.
    parsed: ClassVar[dict[str, tuple[tuple[int, int], bytes]]] = {}

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the content of a file; its name may lack the ending."""
        path = f"{self.path}/{config_path.removesuffix('.yaml')}.yaml"
        try:
            status = Path(path).stat()
        except OSError:
            return super().load_config(config_path)
        stamp = (status.st_mtime_ns, status.st_size)
        before, content = self.parsed.get(path, (None, b""))
        if before != stamp:
            content = pickle.dumps(super().load_config(config_path))
            self.parsed[path] = stamp, content
        return replace(pickle.loads(content), provider=self.provider)


class GridParser(OverridesParser):
    """Hydra's grammar with the notations of :mod:`scaleinv.runs.grids`; inside brackets ``range`` is a grid too."""

    @classmethod
    def create(cls, config_loader: ConfigLoader | None = None) -> "GridParser":
        """Make a parser; see :meth:`OverridesParser.create`."""
        parser = cls(_plain_parser().functions, config_loader)
        for name in grids.NOTATIONS.keys() - parser.functions.definitions.keys():
            parser.functions.register(name, partial(_grid, name))
        return parser

    def parse_rule(self, s: str, rule_name: str) -> Any:
        """Parse a text; see :meth:`OverridesParser.parse_rule`."""
        parsed = super().parse_rule(s, rule_name)
        if isinstance(parsed, Override):
            value = parsed._value
            if isinstance(value, ChoiceSweep):
                value.list = [_without_grids(one) for one in value.list]
            else:
                parsed._value = _without_grids(value)
        return parsed


_plain_parser = OverridesParser.create


def _grid(name: str, *arguments: Any, **options: Any) -> grids.Grid:
    return grids.numbers(name, arguments, options)


def _without_grids(value: Any) -> Any:
    """Return a parsed value with the numbers of its grids in plain lists."""
    if isinstance(value, dict):
        return {key: _without_grids(one) for key, one in value.items()}
    if isinstance(value, grids.Grid) or not isinstance(value, list):
        return list(value) if isinstance(value, grids.Grid) else value
    spliced: list[Any] = []
    for one in value:
        if isinstance(one, RangeSweep):
            spliced += grids.numbers("range", (one.start, one.stop, one.step), {})
        elif isinstance(one, grids.Grid):
            spliced += one
        else:
            spliced.append(_without_grids(one))
    return spliced


# A process of the launcher joblib gets this class with the state of Hydra, then registers Hydra's own, which is refused
# beside a class of another name.
ParsedOnce.__name__ = FileConfigSource.__name__


def run_command(job: Callable[[DictConfig], None]) -> None:
    """Call ``job`` with the configuration of every run that the command line asks for."""
    register_search_path()
    with _quick(), _reading_grids():
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
        with _quick(), _reading_grids(), hydra.initialize_config_dir(str(conf_folder()), **_INITIALIZE):
            yield
    finally:
        if instances is not None:
            for cls in _OF_AN_APPLICATION:
                instances.pop(cls, None)
            instances.update(kept)


def interpolation_map(overrides: Any, defaults: list[Any], self_added: bool) -> DictConfig:
    """Make what the interpolations in a defaults list can refer to, but only for a list that has one."""
    if any(default.is_interpolation() for default in defaults if not default.is_self()):
        return create_interpolation_map(overrides, defaults, self_added)
    return DictConfig({})


def embedded(result: ConfigResult, package: str | None) -> ConfigResult:
    """Put a file's content in its place, as Hydra does; a copy by pickle takes a third of the time of a deep copy."""
    place = result.header["package"] if package is None else package
    if not place:
        return result
    config = DictConfig({}, flags={"no_deepcopy_set_nodes": True})
    OmegaConf.update(config, place, pickle.loads(pickle.dumps(result.config)), merge=False)
    config._set_flag("no_deepcopy_set_nodes", None)
    return replace(result, config=config)


@contextmanager
def _reading_grids() -> Iterator[None]:
    """Let Hydra read overrides by :class:`GridParser`."""
    OverridesParser.create = GridParser.create  # type: ignore[method-assign]
    try:
        yield
    finally:
        OverridesParser.create = _plain_parser  # type: ignore[method-assign]


@contextmanager
def _quick() -> Iterator[None]:
    """Let Hydra parse a file again only after it has changed, and leave out work that changes no configuration."""
    if not IS_QUICK:
        yield
        return
    types = SourcesRegistry.instance().types
    plain = types["file"]
    types["file"] = ParsedOnce
    defaults_list._create_interpolation_map = interpolation_map  # type: ignore[assignment]
    ConfigLoaderImpl._embed_result_config = staticmethod(embedded)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        types["file"] = plain
        defaults_list._create_interpolation_map = create_interpolation_map
        ConfigLoaderImpl._embed_result_config = staticmethod(embed_result_config)  # type: ignore[method-assign]
