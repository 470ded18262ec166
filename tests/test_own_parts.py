"""Promise: a part of any kind is named by ``package.module:Class`` or an entry point; its options are checked as ours.

The template project that does it all is tested in test_yours.py, data sets are in test_own_data.py.
"""

import sys
from importlib.metadata import EntryPoint

import pytest
from hydra.core.global_hydra import GlobalHydra

from scaleinv.report.figures import __main__ as figures
from scaleinv.runs import registry
from scaleinv.runs.config import PARTS, SHARED, compose
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.hydra_app import composing

# Group -> base class of a part of one's own, with an option that has no default and one that is an axis.
KINDS = {
    "network": "scaleinv.networks.lenet:LeNet",
    "space": "scaleinv.spaces:WeightSpace",
    "optimizer": "scaleinv.optim.sgd:SGD",
    "schedule": "scaleinv.schedules:Constant",
    "start": "scaleinv.starts:DefaultStart",
    "augment": "scaleinv.augmentations:NoAugmentation",
    "number": "scaleinv.numbers:FloatNumber",
    "loss": "scaleinv.losses:CrossEntropy",
    "task": "scaleinv.runs.tasks.sweep:Sweep",
    "penalty": "scaleinv.penalties:L2Weights",
    "probe": "scaleinv.probes.roots:Roots",
}
LISTS = {"penalty": "penalties", "probe": "probes"}
MODULE = """
from dataclasses import dataclass
from {module} import {name}
from scaleinv.symmetry.members import PerMember

@dataclass(frozen=True, kw_only=True)
class Mine({name}):
    whole: int
    share: PerMember = 0.5

    def __post_init__(self):
        if self.whole < 0:
            raise ValueError("whole must be at least 0")

class Other:
    pass

broken = 1
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write a module with a part of a group; return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(group):
        module, _, name = KINDS[group].partition(":")
        (tmp_path / f"mine_{group}.py").write_text(MODULE.format(module=module, name=name))
        return f"mine_{group}:Mine"

    yield write
    for name in [name for name in sys.modules if name.startswith("mine_")]:
        del sys.modules[name]


@pytest.fixture
def entry_points(monkeypatch):
    """Pretend that packages are installed that have entry points."""
    known = []

    def register(group, name, value):
        known.append(EntryPoint(name, value, group))
        of_group = lambda asked: {point.name: point for point in known if point.group == asked}  # noqa: E731
        for module in ("registry", "given_parts"):
            monkeypatch.setattr(f"scaleinv.runs.{module}.installed", of_group)
        monkeypatch.setattr(figures, "installed", of_group)
        named = lambda group, name: [p for p in known if (p.group, p.name) == (group, name)]  # noqa: E731
        monkeypatch.setattr(registry, "entry_points", named)

    return register


def overrides(group, name, **options):
    """Choose a part with options."""
    if group in LISTS:
        return [f"{LISTS[group]}=[{{name:{name}{''.join(f',{k}:{v}' for k, v in options.items())}}}]"]
    return [f"{group}={name}", *(f"{group}.{key}={value}" for key, value in options.items())]


@pytest.mark.parametrize("group", KINDS)
def test_a_part_of_every_kind_has_its_options(group, mine, entry_points):
    name = mine(group)
    key = f"{LISTS[group]}.{name}" if group in LISTS else group
    one = compose(overrides(group, name, whole=3))
    assert one.run_id != compose(overrides(group, name, whole=4)).run_id
    listed = overrides(group, name, whole=3, share="[0.5,1]")
    if group in SHARED:
        with pytest.raises(ConfigError, match="all members share one"):
            compose(listed)
    else:
        assert compose(listed).axes[f"{key}.share"] == (0.5, 1.0)
    entry_points(PARTS[group][0], "installed_part", name)
    assert compose(overrides(group, "installed_part", whole=3)).run_id != one.run_id


@pytest.mark.parametrize("group", ["space", "optimizer", "penalty"])
def test_its_options_are_checked(group, mine):
    name = mine(group)
    wrongs = [("must be given|is missing", {}), ("at least 0", {"whole": -1}), ("a whole number", {"whole": "a"})]
    for words, options in [*wrongs, ("share", {"whole": 1, "shore": 1})]:
        with pytest.raises(ConfigError, match=words) as refused:
            compose(overrides(group, name, **options))
        assert len(str(refused.value).splitlines()) <= 3
        assert refused.value.where.startswith((group, LISTS.get(group, group)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere:Mine", "cannot be imported: No module named 'nowhere'"),
        ("mine_space:Nothing", "has no attribute 'Nothing'"),
        ("mine_space:Other", "is no concrete scaleinv.spaces.base.ParameterSpace"),
        ("mine_space:broken", "is no concrete"),
    ],
)
def test_what_is_no_part_is_refused(name, words, mine):
    mine("space")
    with pytest.raises(ConfigError) as refused:
        compose([f"space={name}", "space.whole=1"])
    assert words in f"{refused.value.what} {refused.value.how}"


def test_parts_whose_runs_would_have_one_id_are_refused(mine, entry_points):
    name = mine("space")
    entry_points("scaleinv.spaces", "weight", name)
    with pytest.raises(ConfigError, match="name of a part of scaleinv"):
        compose(["space=weight"])
    entry_points("scaleinv.spaces", "twice", name)
    entry_points("scaleinv.spaces", "twice", "elsewhere:Mine")
    with pytest.raises(ConfigError, match="both installed as twice"):
        compose(["space=twice", "space.whole=1"])


def test_completion_lists_installed_parts(mine, entry_points):
    entry_points("scaleinv.schedules", "mine_too", mine("schedule"))
    with composing():
        options = GlobalHydra.instance().config_loader().get_group_options("schedule")
    assert {"constant", "mine_too"} <= set(options)


def test_a_figure_of_ones_own(tmp_path, monkeypatch, entry_points):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine_figure.py").write_text("def draw(records):\n    return len(records)\n\nnumber = 3\n")
    entry_points(figures.PACKAGE, "count", "mine_figure:draw")
    for name in ("mine_figure:draw", "count"):
        assert figures.figure_named(name).draw([1, 2]) == 2
    for name, words in (
        ("mine_figure:number", "no function"),
        ("nowhere:draw", "imported"),
        ("los_vs_lr", "loss_vs_lr"),
    ):
        with pytest.raises(UserError) as refused:
            figures.figure_named(name)
        assert words in str(refused.value)
    assert "count" not in figures.known_figures()
    del sys.modules["mine_figure"]
