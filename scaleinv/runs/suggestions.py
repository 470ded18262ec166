"""The keys there are, and the nearest to one that is not."""

import difflib
from collections.abc import Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from omegaconf import OmegaConf


def conf_folder() -> Path:
    """Return this checkout's ``conf/``; where the package is installed without one, the copy inside it."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"


def installed_conf() -> dict[str, str]:
    """Return the packages of YAML files that installed packages offer, by the name of the entry point.

    Its group is ``scaleinv.conf``: ``[project.entry-points."scaleinv.conf"] mine = "my_parts.conf"``.
    """
    return {point.name: point.value for point in entry_points(group="scaleinv.conf")}


def conf_folders() -> list[Path]:
    """Return ``conf/`` and the folders of :func:`installed_conf`, ours first."""
    specs = [find_spec(package) for package in installed_conf().values()]
    return [conf_folder(), *(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())]


def known_keys() -> list[str]:
    """List every dotted key of the files in :func:`conf_folders`, the experiments excepted."""
    found = set()
    for folder in conf_folders():
        for path in folder.rglob("*.yaml"):
            group = path.relative_to(folder).parent.as_posix()
            if group != "experiment":
                prefix = "" if group == "." else f"{group}."
                found |= {f"{prefix}{key!s}" for key in OmegaConf.load(path)}
    return sorted(found - {"defaults", "hydra"})


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Suggest the nearest of the known words, or list them."""
    last = word.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or [k for k in known if k.rsplit(".", 1)[-1] == last]
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
