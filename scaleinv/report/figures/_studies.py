"""What figures of a whole study share: its records, and the files that they came from."""

from collections.abc import Sequence
from pathlib import Path

from scaleinv.report.studies import Study
from scaleinv.runs.folder import metrics_file
from scaleinv.runs.records import MissingError, experiment_runs, read_index

# Experiments that hold SGD in weight space, G-space and fixed-weight space on every data set.
MAIN = {"SGD / weight": "fig_4_4", "SGD / G": "memory", "SGD / fixed": "fig_4_4"}


def inputs_of(folder: Path, experiments: Sequence[str] | None = None) -> list[Path]:
    """Return the metrics of some experiments of a study, or of all, each file once."""
    names = read_index(folder)["experiments"] if experiments is None else experiments
    runs = dict.fromkeys(run for name in names for run in experiment_runs(folder, name))
    return [metrics_file(run) for run in runs]


def shared_datasets(study: Study) -> list[str]:
    """List the data sets on which all of :data:`MAIN` were run, with the same seeds and epochs.

    Raises:
        MissingError: there are none.
    """

    def budget(method: str, dataset: str) -> tuple[int, ...]:
        rows = study.rows(MAIN[method], method, dataset)
        return (int(rows["epoch"].max()), *sorted(set(rows["seed"])))

    known = list(dict.fromkeys(name for experiment in MAIN.values() for name in study.datasets(experiment)))
    ran = [name for name in known if all(study.has(MAIN[method], method, name) for method in MAIN)]
    shared = [name for name in ran if len({budget(method, name) for method in MAIN}) == 1]
    if not shared:
        raise MissingError(
            "SGD in weight space, G-space and fixed-weight space have no data set with one budget",
            ", ".join(dict.fromkeys(MAIN.values())),
            "train both experiments with one budget",
        )
    return shared
