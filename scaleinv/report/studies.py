"""The records of a study, as the tables that claims are judged on."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.effects.choice import BEST, Chosen, choose, epoch_curves, loss_tables
from scaleinv.report.methods import refuse_differences, with_methods
from scaleinv.runs.records import MissingError, load_experiment


class Study:
    """Records of a study by experiment; each is read once.

    In the methods' ``where``, a ``.`` of a column's name is written ``__``: ``start__name="default"``.
    """

    def __init__(self, folder: str | Path) -> None:
        """Read from a folder with an ``index.json``."""
        self._folder = Path(folder)
        self._read = lru_cache(maxsize=None)(self._experiment)
        self.records = lru_cache(maxsize=None)(self._records)
        self.rows = lru_cache(maxsize=None)(self._rows)
        self._tables = lru_cache(maxsize=None)(self._loss_tables)

    def _experiment(self, experiment: str) -> pd.DataFrame:
        return load_experiment(self._folder, experiment, None)

    def _records(self, experiment: str, *shown: str) -> pd.DataFrame:
        """Read an experiment; ``shown`` are keys that the claim separates by itself."""
        records = self._read(experiment)
        if "optimizer" in records:
            return with_methods(records, shown)
        refuse_differences(records, shown)
        return records

    def datasets(self, experiment: str) -> list[str]:
        """List the data sets of an experiment."""
        return list(dict.fromkeys(self.records(experiment)["dataset"]))

    def _rows(self, experiment: str, method: str, dataset: str = "", **where: object) -> pd.DataFrame:
        """Return the records of one method on one data set.

        Args:
            experiment: name of the experiment.
            method: name of the method, ``optimizer / space``.
            dataset: name of the data set; empty if the experiment has only one.
            where: values that further columns must have.

        Raises:
            MissingError: there are none.
        """
        records = self.records(experiment, *(column.replace("__", ".") for column in where))
        keep = records["method"] == method
        if dataset:
            keep &= records["dataset"] == dataset
        for column, value in where.items():
            keep &= records[column.replace("__", ".")] == value
        if not keep.any():
            what = f"{experiment} has no records of {method}" + (f" on {dataset}" if dataset else "")
            raise MissingError(what, self._folder, f"there are {'; '.join(sorted(set(records['method'])))}")
        if records.loc[keep, "dataset"].nunique() > 1:
            raise MissingError(f"{experiment} has several data sets, the claim is about one", self._folder, "name one")
        return records[keep]

    def has(self, experiment: str, method: str, dataset: str = "", **where: object) -> bool:
        """Whether there are records of a method."""
        try:
            return not self.rows(experiment, method, dataset, **where).empty
        except MissingError:
            return False

    def _loss_tables(
        self, experiment: str, method: str, dataset: str, protocol: str, measure: str, **where: object
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        return loss_tables(self.rows(experiment, method, dataset, **where), protocol, measure)

    def losses(
        self, experiment: str, method: str, dataset: str = "", measure: str = "val_loss", **where: object
    ) -> pd.DataFrame:
        """Return best losses over the epochs, seeds x learning rates; infinite where diverged; see :meth:`rows`."""
        return self._tables(experiment, method, dataset, BEST, measure, **where)[0]

    def chosen(
        self,
        experiment: str,
        method: str,
        dataset: str = "",
        protocol: str = BEST,
        measure: str = "val_loss",
        **where: object,
    ) -> Chosen:
        """Return each seed's loss at the learning rate that is best for the other seeds; see :meth:`rows`."""
        return choose(*self._tables(experiment, method, dataset, protocol, measure, **where))

    def curves(
        self, experiment: str, method: str, dataset: str, rates: pd.Series, measure: str = "val_loss", **where: object
    ) -> pd.DataFrame:
        """Return the losses over the epochs, seeds x epochs, at one learning rate per seed; see :meth:`rows`."""
        return epoch_curves(self.rows(experiment, method, dataset, **where), rates, measure)

    def epochs(self, experiment: str, dataset: str = "") -> int:
        """Return how long the members of an experiment were trained."""
        records = self.records(experiment)
        return int((records[records["dataset"] == dataset] if dataset else records)["epoch"].max())

    def chance(self, experiment: str, dataset: str = "") -> float:
        """Return the loss of a network that has learned nothing: of the methods, the lowest median before training."""
        records = self.records(experiment)
        untrained = records[(records["epoch"] == 0) & ((records["dataset"] == dataset) | (dataset == ""))]
        return float(untrained.groupby("method")["val_loss"].median().min())

    def lowest(self, experiment: str, dataset: str = "", measure: str = "val_loss") -> float:
        """Return the lowest geometric mean loss of any method at any learning rate."""
        records = self.records(experiment)
        own = records[records["dataset"] == dataset] if dataset else records
        best = [self.losses(experiment, method, dataset, measure) for method in dict.fromkeys(own["method"])]
        return float(min(np.exp(np.log(table).mean().min()) for table in best))

    def benchmark(self) -> pd.DataFrame:
        """Return the benchmark that is published beside the study.

        Raises:
            MissingError: there is none.
        """
        path = self._folder.parent / "bench" / "bench.csv"
        if not path.exists():
            raise MissingError("there is no benchmark beside the study", path, "make bench")
        return pd.read_csv(path)
