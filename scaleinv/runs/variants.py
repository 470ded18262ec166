"""Compose the runs of a sweep, which share most of their configuration, without composing that for each again."""

import pickle
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from scaleinv.runs.config import CHOICES
from scaleinv.runs.suggestions import conf_folder

Composed = tuple[DictConfig, HydraConf]


class Variants:
    """Composes what some overrides give together with further ones.

    Hydra composes the shared ones, once. A further override that chooses a file replaces that group of keys by the
    file's, on top of them those of the experiment; one that gives a value sets it, as Hydra does. Whatever this does
    not cover (a file that changes other groups, keys that are added or removed, a mistake) Hydra composes.
    """

    def __init__(self, composed: Callable[[Sequence[str]], Composed], shared: Sequence[str]) -> None:
        """Compose the shared overrides.

        Args:
            composed: from :func:`scaleinv.runs.composing.composer`.
            shared: overrides of all runs; those of groups (``experiment=memory``) only.
        """
        self._composed, self._shared = composed, tuple(shared)
        self.whole, self.hydra = composed(shared)
        self._pickled = pickle.dumps((self.whole, self.hydra))
        name = self.hydra.runtime.choices["experiment"]
        experiment = OmegaConf.load(conf_folder() / "experiment" / f"{name}.yaml")
        assert isinstance(experiment, DictConfig)
        self._experiment = experiment
        self._keys = lru_cache(maxsize=None)(self._group)
        self._is_alone = lru_cache(maxsize=None)(self._is_this_rule)

    def __call__(self, overrides: Sequence[str]) -> Composed:
        """Return what Hydra would compose of the shared and these overrides, as far as a run reads it.

        Raises:
            ConfigError: an override is wrong.
        """
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        if all(self._is_plain(override) for override in parsed):
            try:
                return self._changed(parsed)
            except OmegaConfBaseException:  # Hydra says what is wrong
                pass
        return self._composed([*self._shared, *overrides])

    def _is_plain(self, override: Override) -> bool:
        """Whether an override chooses a file that changes only its group, or gives a key another value."""
        if override.type != OverrideType.CHANGE or override.package or override.is_sweep_override():
            return False
        group = override.key_or_group
        if (conf_folder() / group.replace(".", "/")).is_dir():
            return group in CHOICES and self._is_alone(group) and self._keys(group, str(override.value())) is not None
        return True

    def _is_this_rule(self, group: str) -> bool:
        """Whether Hydra's choice, too, is the file's keys with those of the experiment on top."""
        made = self._keys(group, str(self.hydra.runtime.choices[group]))
        return made is not None and _plain(made) == _plain(self.whole[group])

    def _group(self, group: str, name: str) -> DictConfig | None:
        """Return the keys of a group if a file is chosen; None for one that reaches beyond its group."""
        own = _file(group, name)
        return None if own is None else OmegaConf.merge(own, self._experiment.get(group) or {})  # type: ignore[return-value]

    def _changed(self, overrides: Sequence[Override]) -> Composed:
        whole, hydra = pickle.loads(self._pickled)
        chosen = {o.key_or_group: str(o.value()) for o in overrides if o.key_or_group in CHOICES}
        with open_dict(whole):
            for group, name in chosen.items():
                whole[group] = self._keys(group, name)
                hydra.runtime.choices[group] = name
        for override in overrides:
            if override.key_or_group not in chosen:
                OmegaConf.update(whole, override.key_or_group, override.value(), merge=True)
            hydra.overrides.task.append(override.input_line)
        return whole, hydra


@lru_cache(maxsize=256)
def _file(group: str, name: str) -> DictConfig | None:
    """Read a file of a group and those that it builds on; None if there is none or it is more than a group's keys."""
    path = conf_folder() / group / f"{name}.yaml"
    if not path.is_file() or "@package" in path.read_text():
        return None
    own = OmegaConf.load(path)
    assert isinstance(own, DictConfig)
    parts = [own if one == "_self_" else _file(group, str(one)) for one in own.pop("defaults", ["_self_"])]
    return None if None in parts else OmegaConf.merge(*parts)  # type: ignore[return-value]


def _plain(keys: DictConfig) -> Any:
    return OmegaConf.to_container(keys)
