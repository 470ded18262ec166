"""Where the configuration files are, which keys they have, and suggestions for a misspelt word."""

import difflib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from scaleinv.runs.installed import installed
from scaleinv.runs.plain_yaml import read_plain

# Dotted keys of the parts that commands of this process have named by ``package.module:name``; they have no file.
of_given_parts: set[str] = set()


def conf_folder() -> Path:
    """Return ``conf/`` of this checkout or, if the package is installed without one, the copy inside the package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"


def installed_conf() -> dict[str, str]:
    """Return the packages of YAML files that other installed packages provide, by name of the entry point.

    The group is ``scaleinv.conf``: ``[project.entry-points."scaleinv.conf"] mine = "my_parts.conf"``.
    """
    return {point.name: point.value for point in installed("scaleinv.conf").values()}


def conf_folders() -> list[Path]:
    """Return ``conf/``, then the folders of :func:`installed_conf`."""
    specs = [find_spec(package) for package in installed_conf().values()]
    return [conf_folder(), *(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())]


def known_keys() -> list[str]:
    """List every dotted key of the files in :func:`conf_folders`, except experiments, and :data:`of_given_parts`."""
    keys = set(of_given_parts)
    for folder in conf_folders():
        for path in folder.rglob("*.yaml"):
            group = path.relative_to(folder).parent.as_posix()
            if group != "experiment":
                prefix = "" if group == "." else f"{group}."
                keys |= {f"{prefix}{key!s}" for key in read_plain(path.read_text()) or ()}
    return sorted(keys - {"defaults", "hydra"})


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Suggest the nearest of the known words, or list them all if none is near."""
    last = word.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or [k for k in known if k.rsplit(".", 1)[-1] == last]
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
