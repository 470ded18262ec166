"""The number that a search over runs minimises."""

import csv
import io
import math

from scaleinv.runs.config import Config
from scaleinv.runs.folder import RunFolder


def objective(config: Config) -> float | None:
    """Read the number that ``config.objective`` names from the records of a finished run.

    Returns:
        The smallest validation loss of all members and epochs, or of all members after the last epoch; infinity where
        none is finite. None if no number was asked for, or the task records no validation loss.
    """
    if config.objective == "none":
        return None
    content = RunFolder(config.folder).read_metrics().decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    if not rows or not {"epoch", "val_loss"} <= set(rows[0]):
        return None
    last = max(int(row["epoch"]) for row in rows)
    wanted = [row for row in rows if config.objective == "best_val_loss" or int(row["epoch"]) == last]
    losses = [float(row["val_loss"] or "nan") for row in wanted]
    return min((loss for loss in losses if math.isfinite(loss)), default=math.inf)
