"""The keys there are, and the nearest to one that is not."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf


def conf_folder() -> Path:
    """Return this checkout's ``conf/``; where the package is installed without one, the copy inside it."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"


def known_keys() -> list[str]:
    """List every dotted key of the files in ``conf/``, the experiments excepted."""
    found = set()
    for path in conf_folder().rglob("*.yaml"):
        group = path.relative_to(conf_folder()).parent.as_posix()
        if group != "experiment":
            prefix = "" if group == "." else f"{group}."
            found |= {f"{prefix}{key!s}" for key in OmegaConf.load(path)}
    return sorted(found - {"defaults", "hydra"})


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Suggest the nearest of the known words, or list them."""
    last = word.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or [k for k in known if k.rsplit(".", 1)[-1] == last]
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
