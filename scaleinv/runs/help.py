"""What ``scaleinv-run --help`` prints: keys with their comments, choices, and the study's budget last. No torch."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from scaleinv.runs.errors import ConfigError
from scaleinv.runs.plain_yaml import read_plain
from scaleinv.runs.suggestions import conf_folder, conf_folders, did_you_mean

FLAGS = ("--help", "-h")
USAGE = """\
scaleinv-run trains a grid (learning rates x seeds x fixed values) of networks
at once and writes one CSV.

  scaleinv-run dataset=mnist space=gspace 'optimizer.lr=[0.1,0.01]' seeds=3
  scaleinv-run -m space=weight,gspace optimizer=sgd,adam    one run each
  scaleinv-run space=gspace optimizer=adam --help           keys of a choice
  scaleinv-run --version
  scaleinv-run --hydra-help                                 launchers, sweepers

scaleinv-runs lists, shows, compares, exports and removes what was run."""
# Groups of which a list takes any number -> the key of the list.
LISTS = {"probe": "probes", "penalty": "penalties"}
EXPERIMENT, BUDGET = "experiment", "profile"
NOT_KEYS = ("defaults", "hydra")
SEARCHED = re.compile(r"file://([^,\]\s\"']+)")


@dataclass
class Key:
    """A key of a configuration file.

    Attributes:
        name: the key.
        comment: the comment above it.
        lines: its value as it stands in the file; nested values have several lines.
        heading: comment with an empty line below it, on this key and those after it.
    """

    name: str
    comment: str
    lines: list[str]
    heading: str = ""


@dataclass
class _Page:
    """The lines of the help, no wider than the terminal."""

    width: int = field(default_factory=lambda: min(shutil.get_terminal_size().columns, 100))
    lines: list[str] = field(default_factory=list)

    def text(self, text: str, indent: int = 0, hanging: int = 0) -> None:
        """Add a paragraph."""
        blanks = " " * indent
        self.lines += textwrap.wrap(
            text, self.width, initial_indent=blanks, subsequent_indent=blanks + " " * hanging,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip

    def keys(self, keys: Sequence[Key], prefix: str = "") -> None:
        """Add keys as they are written in a command, each with its comment below."""
        for key in keys:
            if key.heading:
                self.lines.append("")
                self.text(key.heading)
            first, *nested = key.lines
            self.text(f"{prefix}{key.name}={first}", 2, 4)
            self.lines += [f"      {line}" for line in nested]
            if key.comment:
                self.text(key.comment, 6)


def help_text(arguments: Sequence[str] = ()) -> str:
    """Return the help on the defaults, or on the choices among the arguments.

    Args:
        arguments: arguments of the command; of these, ``group=choice`` and ``--config-dir`` count.

    Raises:
        ConfigError: there is no such choice.
    """
    folders = [*conf_folders(), *_further_folders(arguments)]
    top = conf_folder() / "config.yaml"
    chosen = {str(group): str(name) for entry in read_plain(top.read_text())["defaults"] if isinstance(entry, dict)
              for group, name in entry.items() if not str(group).startswith("override ")}  # fmt: skip
    given = dict(word.split("=", 1) for word in arguments if "=" in word and not word.startswith("-"))
    chosen |= {group: name.split(",")[0] for group, name in given.items() if group in chosen}
    page = _Page(lines=[*USAGE.splitlines(), "", "KEYS, written key=value"])
    page.keys([key for key in read_keys(top) if key.name not in NOT_KEYS])
    for group, key in LISTS.items():
        page.lines.append("")
        page.text(f"{key}=[...] takes {', '.join(options(group, folders))}", 0, 4)
    page.lines += ["", "CHOICES, written group=name, and their own keys"]
    for group, name in chosen.items():
        if group not in (EXPERIMENT, BUDGET):
            _choice(page, group, name, group, folders)
    page.lines += ["", "EXPERIMENTS, one per figure, written experiment=name"]
    page.text(", ".join(options(EXPERIMENT, folders)), 2)
    page.lines += ["", "THE STUDY'S BUDGET, which only experiments read"]
    _choice(page, BUDGET, chosen[BUDGET], "study", folders)
    return "\n".join(page.lines)


def options(group: str, folders: Sequence[Path]) -> list[str]:
    """Return the names that a group can be set to."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def read_keys(path: Path) -> list[Key]:
    """Return the keys of a file, with their comments; its value may go on in indented lines."""
    keys: list[Key] = []
    comment: list[str] = []
    heading = ""
    for line in path.read_text().splitlines():
        if line.startswith("# @package"):
            continue
        if line.startswith("#"):
            comment.append(line[1:].strip())
        elif not line.strip():
            heading, comment = " ".join(comment) or heading, []
        elif line[0] in " -" and keys:
            keys[-1].lines.append(line)
        else:
            name, _, value = line.partition(":")
            keys.append(Key(name, " ".join(comment), [value.strip()], heading))
            comment, heading = [], ""
    return keys


def _choice(page: _Page, group: str, name: str, prefix: str, folders: Sequence[Path]) -> None:
    """Add a group: what is chosen, what else could be, and the keys that come with it."""
    there = options(group, folders)
    if name not in there:
        raise ConfigError(f"there is no {group} {name!r}", group, did_you_mean(name, there))
    keys = {key.name: key for key in _with_presets(group, name, folders)}
    for label in ("name", group):
        keys.pop(label, None)
    about = read_keys(_file(group, name, folders))[0].comment
    page.lines.append("")
    page.text(f"{group}={name}: {about}" if about else f"{group}={name}", 0, 4)
    page.text(f"or {', '.join(one for one in there if one != name)}", 4)
    page.keys(list(keys.values()), f"{prefix}.")


def _file(group: str, name: str, folders: Sequence[Path]) -> Path:
    return next(path for folder in folders if (path := folder / group / f"{name}.yaml").is_file())


def _with_presets(group: str, name: str, folders: Sequence[Path]) -> Iterator[Key]:
    """Yield the keys of a choice; a preset has those of the file that it starts from, and then its own values."""
    path = _file(group, name, folders)
    comments = {}
    for base in (read_plain(path.read_text()) or {}).get("defaults", []):
        if isinstance(base, str) and base != "_self_":
            for key in _with_presets(group, base, folders):
                comments[key.name] = key.comment
                yield key
    for key in read_keys(path):
        if key.name not in NOT_KEYS:
            key.comment = key.comment or comments.get(key.name, "")
            yield key


def _further_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the folders that ``--config-dir`` and ``hydra.searchpath`` add."""
    flags = ("--config-dir", "-cd")
    after = [word for flag, word in pairwise(arguments) if flag in flags]
    joined = [word.partition("=")[2] for word in arguments if word.startswith(f"{flags[0]}=")]
    searched = [place for word in arguments if word.startswith("hydra.searchpath=") for place in SEARCHED.findall(word)]
    return [Path(one) for one in (*after, *joined, *searched)]
