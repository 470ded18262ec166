"""Choose the learning rate and the epoch at which a method is judged, on data that do not judge it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scaleinv.report.effects.intervals import Estimate, estimate_mean
from scaleinv.runs.errors import UserError

# Epoch at which a loss is read: the last one; the best one on the reported set itself (the source's protocol, which is
# optimistic); or the one with the lowest validation loss, reported on the test set.
LAST, BEST, HELD_OUT = "last epoch", "best epoch", "held out"
PROTOCOLS = (LAST, BEST, HELD_OUT)


@dataclass(frozen=True)
class Chosen:
    """A method's loss per seed at a chosen learning rate.

    Attributes:
        losses: loss by seed; infinite where the member diverged.
        rates: chosen learning rate by seed.
        at_edge: whether a chosen rate is the lowest or highest of the grid, so that a better one may lie outside.
    """

    losses: pd.Series
    rates: pd.Series
    at_edge: bool

    @property
    def contested(self) -> bool:
        """Whether the seeds chose different rates; their losses are then not independent."""
        return self.rates.nunique() > 1

    @property
    def logs(self) -> pd.Series:
        """Log losses."""
        return np.log(self.losses)


def leave_one_out(losses: np.ndarray) -> np.ndarray:
    """Choose a learning rate for each seed on the other seeds.

    Args:
        losses: (..., seeds, rates), positive; infinite where a member diverged.

    Returns:
        Positions of the chosen rates, (..., seeds): among the rates at which the fewest other seeds diverged, the one
        with the lowest geometric mean loss over the other seeds that did not diverge.
    """
    finite = np.isfinite(losses)
    logs = np.log(np.where(finite, losses, 1.0))
    others = finite.sum(-2, keepdims=True) - finite
    means = (logs.sum(-2, keepdims=True) - logs) / np.maximum(others, 1)
    return np.where(others == others.max(-1, keepdims=True), means, np.inf).argmin(-1)


def choose(tuned: pd.DataFrame, reported: pd.DataFrame | None = None, together: bool = False) -> Chosen:
    """Choose each seed's learning rate on the losses of the other seeds, and read its own loss there.

    Args:
        tuned: losses to choose by, seeds x learning rates; infinite where diverged (see :func:`leave_one_out`).
        reported: losses to report, of the same shape; ``tuned`` if None.
        together: choose one rate on all seeds, as the sources do; the reported loss is then too low on average.

    Raises:
        UserError: a loss is missing, the tables do not match, or a seed has no others to choose on.
    """
    reported = tuned if reported is None else reported
    if not (tuned.index.equals(reported.index) and tuned.columns.equals(reported.columns)):
        raise UserError("the losses that choose and those to report are of different seeds or learning rates")
    if tuned.isna().any(axis=None) or reported.isna().any(axis=None):
        raise UserError("some learning rates were not run with every seed", "", "run the missing members")
    if len(tuned) < 2 and not together:
        raise UserError("one seed has no others to choose its learning rate on", "", "run more seeds")
    table = tuned.to_numpy(dtype=float)
    if together:
        # The choice for the added row, which counts as diverged everywhere, is made on all seeds.
        doubled = np.concatenate([table, np.full((1, table.shape[1]), np.inf)])
        positions = np.repeat(leave_one_out(doubled)[-1], len(table))
    else:
        positions = leave_one_out(table)
    rates = tuned.columns.to_numpy(dtype=float)
    losses = reported.to_numpy(dtype=float)[np.arange(len(table)), positions]
    at_edge = bool(np.isin(rates[positions], [rates.min(), rates.max()]).any())
    return Chosen(pd.Series(losses, tuned.index), pd.Series(rates[positions], tuned.index), at_edge)


def loss_ratio(first: Chosen, second: Chosen) -> Estimate:
    """Estimate the loss of the first method over that of the second, paired by seed: a ratio of geometric means."""
    logs = log_ratios(first.losses, second.losses)
    return estimate_mean(logs, contested=first.contested or second.contested).as_ratio()


def log_ratios(first: pd.Series, second: pd.Series) -> np.ndarray:
    """Return log(first / second) of the losses, for the seeds that both have.

    Infinite where one of the two diverged; 0 where both did, because neither was better.
    """
    pairs = pd.concat([first, second], axis=1, join="inner").to_numpy(dtype=float)
    both = np.isinf(pairs).all(1)
    return np.log(np.where(both, 1.0, pairs[:, 0])) - np.log(np.where(both, 1.0, pairs[:, 1]))


def differences(first: pd.Series, second: pd.Series, *, per: float = 1.0) -> np.ndarray:
    """Return (first - second) / per for the seeds that both have; 0 where both are infinite.

    With ``per`` = loss before training - best loss of any method, an effect on losses means the same on every data set.
    """
    pairs = pd.concat([first, second], axis=1, join="inner").to_numpy(dtype=float)
    both = np.isinf(pairs).all(1)
    return (np.where(both, 0.0, pairs[:, 0]) - np.where(both, 0.0, pairs[:, 1])) / per


def loss_tables(records: pd.DataFrame, protocol: str, measure: str = "val_loss") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn the records of one method on one data set into the losses to choose by and the losses to report.

    Args:
        records: one row per member and epoch, with ``seed``, ``lr``, ``epoch``, ``status`` and the measures.
        protocol: one of :data:`PROTOCOLS`.
        measure: column of the loss to choose by and to report; with "held out", ``test_loss`` is reported.

    Returns:
        Two tables, seeds x learning rates; infinite where the member has diverged by its last epoch.

    Raises:
        UserError: members differ in more than learning rate and seed, or the protocol cannot be followed.
    """
    trained = records[records["epoch"] > 0]
    refuse_pools(trained)
    reported = measure
    if protocol == HELD_OUT:
        reported = "test_loss"
        if not has_test_set(trained, measure):
            raise UserError("validation and test loss are the same set", protocol, "run with dataset.split=holdout")
    elif protocol not in (LAST, BEST):
        raise UserError(f"there is no protocol {protocol!r}", "", f"there are {', '.join(PROTOCOLS)}")
    trained = with_infinities(trained, [measure, reported])
    if protocol == LAST:
        rows = trained.groupby(["seed", "lr"]).tail(1)
    else:
        rows = trained.loc[trained.groupby(["seed", "lr"])[measure].idxmin()]
    tuned, to_report = (rows.pivot(index="seed", columns="lr", values=name) for name in (measure, reported))
    return tuned, to_report


def has_test_set(records: pd.DataFrame, measure: str = "val_loss") -> bool:
    """Whether there is a test loss that is not the validation loss under another name."""
    return bool(records["test_loss"].notna().any()) and not records[measure].equals(records["test_loss"])


def epoch_curves(records: pd.DataFrame, rates: pd.Series, measure: str = "val_loss") -> pd.DataFrame:
    """Return the losses of one method, seeds x epochs, each seed at its chosen learning rate; infinite once diverged.

    Args:
        records: as for :func:`loss_tables`.
        rates: learning rate by seed, from :class:`Chosen`.
        measure: column of the loss.
    """
    own = records[records["lr"] == records["seed"].map(rates)]
    refuse_pools(own)
    losses = own[measure].astype(float).where((own["status"] != "diverged") & own[measure].notna(), np.inf)
    return own.assign(loss=losses).pivot(index="seed", columns="epoch", values="loss")


def with_infinities(records: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Set the measures of members that have diverged by their last epoch, and those that are NaN, to infinity."""
    marked = records.sort_values("epoch").copy()
    diverged = marked.groupby(["seed", "lr"])["status"].transform("last") == "diverged"
    for name in dict.fromkeys(measures):
        marked[name] = marked[name].astype(float).where(~diverged & marked[name].notna(), np.inf)
    return marked


def refuse_pools(records: pd.DataFrame) -> None:
    """Refuse records in which several members have the same learning rate and seed.

    Raises:
        UserError: there are such members, and the message names the columns in which they differ; or no records.
    """
    if records.empty:
        raise UserError("there are no records of trained members")
    if records.duplicated(["seed", "lr", "epoch"]).any():
        known = {"seed", "lr", "epoch", "status", "diverged_step", "experiment"}
        names = [str(name) for name in records]
        labels = [name for name in names if name not in known and not name.endswith(("_loss", "_accuracy"))]
        differing = [name for name in labels if name != "run" and records[name].nunique(dropna=False) > 1] or ["run"]
        raise UserError(
            f"several members have the same learning rate and seed; they differ in {', '.join(differing)}",
            "",
            "take one of them (scaleinv-compare --where KEY=VALUE)",
        )
