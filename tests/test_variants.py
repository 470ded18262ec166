"""Promise: runs that are composed from what they share are those that Hydra composes, and most are."""

import pytest

from scaleinv.runs.composing import composer
from scaleinv.runs.config import parse
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.sweeps import expand
from scaleinv.runs.variants import Variants
from scaleinv.study import experiments

SHARED = ["experiment=fig_4_1", "profile=smoke"]


@pytest.fixture
def hydra():
    """Hydra's composer, and a list of what it was asked for."""
    asked = []
    with composer() as composed:
        yield lambda words: (asked.append(list(words)), composed(words))[1], asked


def both(hydra, shared, runs):
    """Compose in both ways; return the pairs, and how many of the runs Hydra composed for the first way."""
    composed, asked = hydra
    variant = Variants(composed, shared)
    ours = [parse(*variant(words)) for words in runs]
    by_hydra = len(asked) - 1
    return [(one, parse(*composed([*shared, *words]))) for one, words in zip(ours, runs, strict=True)], by_hydra


def cells(hydra, shared):
    params = hydra[0](shared)[1].sweeper.params or {}
    hydra[1].clear()
    return expand(f"{key}={value}" for key, value in params.items())


def assert_same(pairs):
    for ours, wanted in pairs:
        assert ours == wanted
        assert (ours.run_id, ours.command, ours.title) == (wanted.run_id, wanted.command, wanted.title)


@pytest.mark.parametrize("name", ["fig_4_1", "cooling", "regularisation", "fig_4_7"])
def test_the_last_run_of_a_sweep(hydra, name):
    shared = [f"experiment={name}", "profile=cpu"]
    pairs, by_hydra = both(hydra, shared, [[*cells(hydra, shared)[-1], "results=elsewhere", "threads=1"]])
    assert_same(pairs)
    assert by_hydra == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", experiments())
def test_every_run_of_the_study(hydra, name):
    shared = [f"experiment={name}", "profile=smoke"]
    pairs, by_hydra = both(hydra, shared, cells(hydra, shared))
    assert_same(pairs)
    assert by_hydra == 0


ELSE = [
    ["++optimizer.lr=0.5"],
    ["probes=[]", "space=gspace_keep", "+hydra.job.env_set.A=b"],
    ["experiment=memory"],
]


def test_what_is_no_plain_choice_or_value_is_left_to_hydra(hydra):
    pairs, by_hydra = both(hydra, SHARED, ELSE)
    assert_same(pairs)
    assert by_hydra == len(ELSE)


def test_the_order_of_the_words_is_hydras(hydra):
    words = [["optimizer.lr=[0.3]", "optimizer=adam", "space=fixed_keep", "space.skeleton=maxprod"]]
    pairs, by_hydra = both(hydra, SHARED, [*words, [*words[0], "optimizer.lr=[0.2]"]])
    assert_same(pairs)
    assert by_hydra == 0
    assert [ours.axes["optimizer.lr"] for ours, _ in pairs] == [(0.3,), (0.2,)]


@pytest.mark.parametrize("wrong", ["space=gspcae", "optimizer.lrr=1", "space.skeleton=maxprod", "epochs=1,2", "a b"])
def test_a_mistake_is_told_as_by_the_command(wrong):
    told = []
    for make in (lambda composed: Variants(composed, SHARED)([wrong]), lambda composed: composed([*SHARED, wrong])):
        with pytest.raises(ConfigError) as refused, composer() as composed:
            make(composed)
        told.append(str(refused.value))
    assert told[0] == told[1]
