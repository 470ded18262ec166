"""The default values, from the files in ``conf/``. Does not import torch."""

from functools import lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scaleinv.runs.suggestions import conf_folder


@lru_cache(maxsize=1)
def defaults() -> dict[str, Any]:
    """Return every key of ``conf/config.yaml`` and of the groups that it chooses, interpolations resolved.

    The budget of the study (``profile``) is left out: a run does not read it.
    """
    top = OmegaConf.load(conf_folder() / "config.yaml")
    assert isinstance(top, DictConfig)
    chosen = [entry for entry in top.pop("defaults") if isinstance(entry, DictConfig)]
    for entry in chosen:
        ((group, name),) = entry.items()
        if (path := conf_folder() / str(group) / f"{name}.yaml").is_file():
            top[str(group)] = OmegaConf.load(path)
    for key in ("hydra", "profile"):
        top.pop(key)
    keys = OmegaConf.to_container(top, resolve=True)
    assert isinstance(keys, dict)
    return {str(key): value for key, value in keys.items()}
