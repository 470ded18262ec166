"""Which released records an audit computed numbers from: a run of each experiment."""

import pytest

from scaleinv.runs.records import read_index

RUNS = {
    "memory": "mnist-weight-sgd-7fbb399459",
    "fig_4_4": "mnist-weight-sgd-7fbb399459",
    "heldout": "mnist-weight-sgd-dec9f24e07",
    "start_or_space": "mnist-weight-sgd-faa3b2ca8a",
    "unbalanced": "mnist-weight-sgd-a9ba4329a3",
    "fig_4_7": "mnist-fixed-sgd-d888120c87",
}


def require_audited(folder, experiment):
    """Skip a test of the audit's numbers if the released records are others (more seeds, more epochs)."""
    if RUNS[experiment] not in read_index(folder)["experiments"][experiment]["runs"]:
        pytest.skip(f"the released records of {experiment} are not those of the audit")
