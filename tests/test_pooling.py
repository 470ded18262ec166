"""Promise: pooling changes no number of invariances: there is one per channel, whatever the windows."""

import pytest

from scaleinv.report.figures.pooling import counts
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run


def test_one_per_channel_with_and_without_overlap(tmp_path):
    pools = "[[max,1,1],[max,2,2],[avg,3,1]]"
    overrides = [f"task.pools={pools}", "task.channels=3", "seeds=3", f"results={tmp_path}", "progress=false"]
    config = compose(["task=pool_invariances", *overrides])
    run(config)
    table = counts(load_records(config.folder, keys=None))
    assert list(table["counted"]) == [3] * 6
    assert list(table["claimed"]) == [3, 3, 12, 12, 3, 3]
    assert list(table["overlaps"]) == [False, False, False, False, True, True]


@pytest.mark.parametrize("pool", ["[sum,2,2]", "[max,9,1]", "[max,2,0]", "[max,2]"])
def test_impossible_pools_are_refused(pool):
    with pytest.raises(ConfigError, match="pools must"):
        compose(["task=pool_invariances", f"task.pools=[{pool}]"])
