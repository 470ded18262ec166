"""Runs of MLflow, in a folder or on a server."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaleinv.trackers.base import FINISHED, INTERRUPTED, TrackedMember, TrackedRun, Tracker

# Tag of the runs of one grid; MLflow's table groups by it.
GROUP = "group"
# How many options one request may hold.
PARAMETERS = 100


@dataclass(frozen=True)
class MLflow(Tracker):
    """One run of an experiment per member; the runs of a grid have the same tag ``group``.

    Attributes:
        experiment: name of the experiment.
        uri: address of the tracking server; None takes ``$MLFLOW_TRACKING_URI`` or, without that, the folder.
        folder: where runs are written without a server.
    """

    needs = ("mlflow", "mlflow-skinny")
    experiment: str
    uri: str | None
    folder: str

    def open(self, member: TrackedMember) -> "MLflowRun":
        """Create a run, or find it by its group and name; see :meth:`Tracker.open`."""
        # Training waits while MLflow asks a server that does not answer; its own seven times take four minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        return MLflowRun(member, self.experiment, self._address())

    def _address(self) -> str:
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            # MLflow 3 wants to hear that a folder is meant, as it gains no features any more.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = Path(self.folder).expanduser().absolute().as_uri()
        return uri


class MLflowRun(TrackedRun):
    """See :class:`MLflow`."""

    def __init__(self, member: TrackedMember, experiment: str, uri: str) -> None:
        """Open the run; of one that exists, read which epochs each number has."""
        from mlflow.entities import Param, RunTag
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        place = _experiment(self._client, experiment)
        tags = {GROUP: member.group, "tags": " ".join(member.tags)}
        wanted = f"tags.`{GROUP}` = '{member.group}' and attributes.run_name = '{member.name}'"
        found = self._client.search_runs([place], wanted) if member.is_resumed else []
        if found:
            self._id = found[0].info.run_id
            names = found[0].data.metrics
            self._last = {n: max(m.step for m in self._client.get_metric_history(self._id, n)) for n in names}
            self._client.update_run(self._id, status="RUNNING")
            return
        self._id = self._client.create_run(place, run_name=member.name, tags=tags).info.run_id
        self._last = {}
        options = [Param(key, str(value)) for key, value in member.config.items()]
        for start in range(0, len(options), PARAMETERS):
            self._client.log_batch(self._id, params=options[start : start + PARAMETERS])
        self._client.log_batch(self._id, tags=[RunTag(word, "") for word in member.tags])

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers that the store lacks; see :meth:`TrackedRun.write`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        lacking = {name: number for name, number in numbers.items() if self._last.get(name, -1) < step}
        self._client.log_batch(self._id, metrics=[Metric(n, number, now, step) for n, number in lacking.items()])
        self._last |= dict.fromkeys(lacking, step)

    def close(self, ending: str) -> None:
        """Set the status; see :meth:`TrackedRun.close`."""
        self._client.set_terminated(self._id, {FINISHED: "FINISHED", INTERRUPTED: "KILLED"}.get(ending, "FAILED"))


def _experiment(client: Any, name: str) -> str:
    """Return the id of an experiment, made if there is none; another process may make it at the same time."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            if (found := client.get_experiment_by_name(name)) is None:
                raise
    return str(found.experiment_id)
