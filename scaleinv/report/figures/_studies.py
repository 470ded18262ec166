"""What figures of a whole study share: its records, and the files that they came from."""

from collections.abc import Sequence
from pathlib import Path

from scaleinv.report.studies import Study
from scaleinv.runs.folder import metrics_file
from scaleinv.runs.records import experiment_runs, read_index

# Experiments that hold SGD in weight space, G-space and fixed-weight space on every data set.
MAIN = {"SGD / weight": "fig_4_4", "SGD / G": "memory", "SGD / fixed": "fig_4_4"}


def inputs_of(folder: Path, experiments: Sequence[str] | None = None) -> list[Path]:
    """Return the metrics of some experiments of a study, or of all, each file once."""
    names = read_index(folder)["experiments"] if experiments is None else experiments
    runs = dict.fromkeys(run for name in names for run in experiment_runs(folder, name))
    return [metrics_file(run) for run in runs]


def shared_datasets(study: Study) -> list[str]:
    """List the data sets on which all of :data:`MAIN` were run."""
    known = [study.datasets(name) for name in dict.fromkeys(MAIN.values())]
    return [name for name in known[0] if all(name in others for others in known)]
