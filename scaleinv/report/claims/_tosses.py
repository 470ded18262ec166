"""What a change of networks that are read by coin tosses costs in accuracy."""

from collections.abc import Iterator, Mapping

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Judge
from scaleinv.report.studies import Study
from scaleinv.report.tosses import by_seed, networks, tosses


def changes(
    study: Study, part: str, column: str, judges: Mapping[float, Judge], name: str, measures: str
) -> Iterator[Case]:
    """Judge every network at some values of a column against the value 0, by accuracies paired by seed.

    Args:
        study: the study.
        part: part of the task; see :func:`scaleinv.report.tosses.tosses`.
        column: column that is changed.
        judges: judge of each value.
        name: name of a case after the network's, with a place for the value.
        measures: description of the number, with a place for the value.
    """
    records = study.records("binarization", "network.name")
    for network in networks(records):
        own = tosses(records, part, network=network)
        for value, judge in judges.items():
            pair = by_seed(own[own[column] == value]), by_seed(own[own[column] == 0])
            yield difference(f"{network}, {name.format(value)}", measures.format(value), pair, judge, HALF_A_POINT, 0)
