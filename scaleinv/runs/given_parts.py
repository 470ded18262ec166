"""Let Hydra compose the keys of parts that have no YAML file: ``package.module:name``, and installed entry points."""

from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import EntryPoint
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from scaleinv.runs.installed import installed
from scaleinv.runs.plain_yaml import read_plain
from scaleinv.runs.suggestions import conf_folder, of_given_parts

# Group -> file whose keys, other than the options of its own class, every part of the group has.
COMMON = {"dataset": "tensors", "optimizer": "sgd"}


class GivenParts(ConfigSource):
    """Files that are not there: ``space/package.module:name`` holds the options of that part, at their defaults.

    So does ``space/name`` for an entry point; where there is a file of that name, Hydra finds it first.
    """

    @staticmethod
    def scheme() -> str:
        """Return the scheme of the one place in Hydra's search path that this serves."""
        return "given"

    def is_config(self, config_path: str) -> bool:
        """Whether a path names a part so."""
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        return bool(group) and "/" not in name and (":" in name or name in _entry_points(group))

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the keys of a part."""
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        keys = keys_of(group, name)
        of_given_parts.update(f"{group}.{key}" for key in keys)
        return ConfigResult(self.provider, f"{self.scheme()}://{name}", OmegaConf.create(keys), {"package": None})

    def is_group(self, config_path: str) -> bool:
        """Whether there are entry points to list."""
        return bool(_entry_points(config_path.rstrip("/")))

    def available(self) -> bool:
        """Return True: there are no files that could be missing."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names of the entry points of a group."""
        return [] if results_filter is ObjectType.GROUP else sorted(_entry_points(config_path.rstrip("/")))


def _entry_points(group: str) -> dict[str, EntryPoint]:
    from scaleinv.runs.config import PARTS

    return installed(PARTS[group][0]) if group in PARTS else {}


def keys_of(group: str, name: str) -> dict[str, Any]:
    """Return the keys of a part of a user's own: the common ones, and its options, ``???`` where there is no default.

    Raises:
        ConfigError: there is no such part.
    """
    from scaleinv.runs.config import class_named

    keys: dict[str, Any] = {}
    if (common := COMMON.get(group)) is not None:
        own = _options(class_named(group, common, group))
        file = read_plain((conf_folder() / group / f"{common}.yaml").read_text()) or {}
        keys = {key: value for key, value in file.items() if key not in own}
    return keys | _options(class_named(group, name, group)) | {"name": name}


def _options(cls: type) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for field in fields(cls) if is_dataclass(cls) else ():
        default = field.default if field.default_factory is MISSING else field.default_factory()
        options[field.name] = "???" if default is MISSING else default
    return options
