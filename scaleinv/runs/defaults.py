"""The default values, from the files in ``conf/``. Does not import torch."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scaleinv.runs.suggestions import conf_folder, conf_folders


def defaults(choices: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return every key of ``conf/config.yaml`` and of the groups that it chooses, interpolations resolved.

    The budget of the study (``profile``) and ``zip`` are left out: a run does not read them.

    Args:
        choices: files to choose instead, by group; a file that is nowhere to be found gives no keys.
    """
    return _defaults(tuple(sorted((choices or {}).items())))


@lru_cache(maxsize=8)
def _defaults(choices: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    top = OmegaConf.load(conf_folder() / "config.yaml")
    assert isinstance(top, DictConfig)
    chosen = {
        str(group): name
        for entry in top.pop("defaults")
        if isinstance(entry, DictConfig)
        for group, name in entry.items()
    }
    for group, name in {**chosen, **dict(choices)}.items():
        files = [path for folder in conf_folders() if (path := folder / group / f"{name}.yaml").is_file()]
        if files:
            top[group] = OmegaConf.load(files[0])
        elif group in top:
            top[group] = {}
    for key in ("hydra", "profile", "zip"):
        top.pop(key)
    keys = OmegaConf.to_container(top, resolve=True)
    assert isinstance(keys, dict)
    return {str(key): value for key, value in keys.items()}
