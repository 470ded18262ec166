"""Read the records of any number of runs into one table, each member once. Does not import torch."""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from scaleinv.runs.config import AXES, identity, leaves
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import DamagedError, RunFolder, metrics_file
from scaleinv.runs.plain_yaml import read_plain

if TYPE_CHECKING:
    import pandas as pd

# File that lists the runs of each experiment of a study.
INDEX = "index.json"
# The losses of a member trained twice, on other machines or in other stacks, differ by round-off, which grows with the
# steps. A relative difference above this means that the two are not the same experiment.
ROUND_OFF_SHARE = 0.02


class MissingError(UserError):
    """Records that are needed do not exist; ``how`` says how to make them."""


def load_records(*paths: str | Path, keys: Sequence[str] | None = (), only_done: bool = True) -> "pd.DataFrame":
    """Read the metrics of any number of runs into one table, each member once.

    A member that several runs contain (``seeds=2``, then ``seeds=3``) is read from the first of them, by path. It was
    trained from the same numbers each time, so the copies agree; a warning says where they do not.

    Args:
        paths: run folders, or folders above them (``results``, ``results/demo``).
        keys: dotted configuration keys to add as columns, e.g. ``optimizer.memory``; empty where a run lacks the key,
            lists as JSON. None adds every key that can change a result.
        only_done: leave out runs that have not finished.

    Returns:
        One row per member and epoch, sorted by path; empty if there are no records. The columns are ``experiment``,
        ``run``, ``keys``, ``configuration`` (a hash, equal for runs that differ only in the axes of the grid), and
        those of ``metrics.csv``; the ones before ``epoch`` identify the member.

    Raises:
        MissingError: a path does not exist.
        DamagedError: the records of a run are not what it wrote.
    """
    return _read(done_runs(*paths) if only_done else find_runs(*paths), keys)


def load_experiment(folder: str | Path, name: str, keys: Sequence[str] | None = ()) -> "pd.DataFrame":
    """Read the records of one experiment of a study into one table.

    Args:
        folder: folder with an ``index.json``, e.g. ``results/cpu``; ``python -m scaleinv.study`` writes it.
        name: name of the experiment.
        keys: see :func:`load_records`.

    Returns:
        What :func:`load_records` returns.

    Raises:
        MissingError: the experiment is not in the index, or some of its runs are not done; it gives the command.
    """
    runs = experiment_runs(folder, name)
    missing = [run for run in runs if not RunFolder(run).is_done]
    if missing:
        command = read_index(folder)["experiments"][name]["command"]
        raise MissingError(f"{name}: {len(missing)} of {len(runs)} runs are not done", missing[0], command)
    return _read(runs, keys)


def read_index(folder: str | Path) -> dict[str, Any]:
    """Return which runs belong to which experiment, and the commands that make them.

    Raises:
        MissingError: the folder has no index.
        DamagedError: the file is not an index, or names runs outside its folder.
    """
    path = Path(folder) / INDEX
    mend = "python -m scaleinv.study --plan"
    try:
        index = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError("there is no index of a study", path, mend) from error
    except (ValueError, RecursionError) as error:
        raise DamagedError("the index is not JSON", path, mend) from error
    try:
        experiments = index["experiments"].items()
        listed = [index["profile"], *index["experiments"], *(run for _, entry in experiments for run in entry["runs"])]
        commands = [entry["command"] for _, entry in experiments]
    except (TypeError, KeyError, AttributeError) as error:
        raise DamagedError("this is not the index of a study", path, mend) from error
    for name in listed:
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
            raise DamagedError(f"{name!r} is not a name; runs of a study lie in its own folder", path, mend)
    if not all(isinstance(command, str) for command in commands):
        raise DamagedError("a command in the index is not text", path, mend)
    return index


def experiment_runs(folder: str | Path, name: str) -> list[Path]:
    """Return the run folders of an experiment; raises as :func:`load_experiment` does."""
    listed = read_index(folder)["experiments"]
    if name not in listed:
        raise MissingError(
            f"the study has no experiment {name!r}", Path(folder) / INDEX, f"there are {', '.join(listed)}"
        )
    return [Path(folder) / run for run in listed[name]["runs"]]


def find_runs(*paths: str | Path) -> list[Path]:
    """List the run folders at and below ``paths``, sorted, each once.

    Raises:
        MissingError: a path does not exist.
    """
    for path in paths:
        if not Path(path).is_dir():
            raise MissingError(
                "there is no such folder of records", path, "scaleinv-run writes results/<name>; see the README"
            )
    folders = {manifest.parent.resolve() for path in paths for manifest in Path(path).rglob("manifest.json")}
    # A manifest.json alone may belong to another program.
    return sorted(folder for folder in folders if (folder / "config.yaml").exists() or metrics_file(folder).exists())


def done_runs(*paths: str | Path) -> list[Path]:
    """List the folders of the finished runs at and below ``paths``; see :func:`find_runs`."""
    return [folder for folder in find_runs(*paths) if RunFolder(folder).is_done]


def read_config(folder: Path) -> dict[str, Any]:
    """Return the resolved configuration of a run, read as data: nothing in it is resolved or executed.

    Raises:
        DamagedError: the file is missing, or is not what a run writes.
    """
    path = folder / "config.yaml"
    mend = "use records that scaleinv-run wrote"
    try:
        text = path.read_text()
        resolved = read_plain(text)
    except FileNotFoundError as error:
        raise DamagedError("the run has no configuration", path, mend) from error
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DamagedError(f"the configuration is not plain YAML: {reason}", path, mend) from error
    if not isinstance(resolved, dict):
        raise DamagedError("the configuration is not a mapping", path, mend)
    if "${" in text:
        raise DamagedError("the configuration has interpolations; a run writes down values", path, mend)
    return resolved


def _read(folders: Iterable[Path], keys: Sequence[str] | None) -> "pd.DataFrame":
    import pandas as pd  # takes a second to import, which a run need not spend

    frames: list[pd.DataFrame] = []
    by_configuration: dict[str, pd.DataFrame] = {}
    added, members, measured = dict.fromkeys(keys or ()), dict[str, None](), dict[str, None]()
    folders = list(folders)
    axes = dict.fromkeys(key for folder in folders for key in RunFolder(folder).manifest.get("axes", {}))
    for folder in folders:
        run = RunFolder(folder)
        content = run.read_metrics() if run.is_done else _whole_lines(run.metrics)
        if not content:
            continue
        resolved, frame = read_config(folder), _parse(content, run.metrics)
        decisive = identity(resolved)
        if "epoch" in frame:
            # An axis of one run may be a single number in another, which then has no column for it.
            for key in axes:
                if key in decisive and key not in frame and key not in AXES:
                    frame.insert(list(frame).index("epoch"), key, decisive[key])
        head = [str(name) for name in frame]
        members |= dict.fromkeys(head[: head.index("epoch") if "epoch" in head else 0])
        measured |= dict.fromkeys(head)
        # A key with a column of its own is an axis, as are the keys of AXES; axes are not part of the configuration.
        decisive = {key: value for key, value in decisive.items() if key not in head}
        configuration = _digest({key: value for key, value in decisive.items() if key not in AXES})
        frame = frame.assign(experiment=folder.parent.name, run=folder.name, configuration=configuration)
        if (earlier := by_configuration.get(configuration)) is not None:
            frame = _without_copies(frame, earlier, head)
            by_configuration[configuration] = pd.concat([earlier, frame], ignore_index=True)
        else:
            by_configuration[configuration] = frame
        named = leaves({**resolved, "choices": run.manifest.get("choices", {})})
        shown = decisive if keys is None else {key: value for key, value in named if key in keys}
        added |= dict.fromkeys(shown)
        frames.append(frame.assign(**{key: [_cell(value)] * len(frame) for key, value in shown.items()}))
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame()
    settings = [key for key in added if key not in members]  # a key may be an axis in one run only
    columns = dict.fromkeys(
        ["experiment", "run", *settings, "configuration", *members, *(["epoch"] if members else []), *measured]
    )
    return pd.concat(filled, ignore_index=True).reindex(columns=list(columns))


def _cell(value: Any) -> Any:
    """Return a configuration value as one field of a table: numbers and texts unchanged, anything else as JSON."""
    return value if isinstance(value, int | float | str) else json.dumps(value, default=str)


def _digest(settings: Mapping[str, Any]) -> str:
    """Hash keys and values; 1 and 1.0 are the same number."""
    return hashlib.sha256(json.dumps(_as_float(settings), sort_keys=True, default=str).encode()).hexdigest()[:10]


def _as_float(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_float(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_float(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole_lines(path: Path) -> bytes:
    """Return what an unfinished run has written so far, up to its last whole line."""
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _parse(content: bytes, path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_csv(io.BytesIO(content))
    except (ValueError, pd.errors.ParserError) as error:
        raise DamagedError(f"the metrics are not a table: {error}", path, "put it back") from error


def _without_copies(frame: "pd.DataFrame", earlier: "pd.DataFrame", head: Sequence[str]) -> "pd.DataFrame":
    """Leave out the rows that an earlier run of the same configuration has; warn if the two disagree.

    Args:
        frame: records of a run.
        earlier: records of the runs before it.
        head: columns of ``metrics.csv``. Those up to ``epoch`` identify a row; without an ``epoch``, all of them do.
    """
    import pandas as pd

    end = head.index("epoch") + 1 if "epoch" in head else len(head)
    names = list(head[:end])
    again = pd.MultiIndex.from_frame(frame[names]).isin(pd.MultiIndex.from_frame(earlier[names]))
    if again.any() and "epoch" in head:
        both = frame[again].merge(earlier, on=names, suffixes=("", " before"))
        _warn_of_disagreement(both, [name for name in head[end:] if name.endswith("_loss")])
    return frame[~again].reset_index(drop=True)


def _warn_of_disagreement(both: "pd.DataFrame", losses: Sequence[str]) -> None:
    share = 0.0
    for name in losses:
        one, other = both[name], both[f"{name} before"]
        share = max(share, float(((one - other).abs() / other.abs()).replace(float("inf"), 1.0).max(skipna=True) or 0))
    is_other = bool((both["status"] != both["status before"]).any())
    if is_other or share > ROUND_OFF_SHARE:
        first = both.iloc[0]
        where = f"{first['experiment before']}/{first['run before']} and {first['experiment']}/{first['run']}"
        how = "one diverged, the other did not" if is_other else f"their losses differ by up to {share:.0%}"
        warnings.warn(f"{where} trained the same members, but {how}; the first is taken", stacklevel=2)
