"""Promise: Hydra 1.3 and 1.4 are both served, by their public names; a sweep means what Hydra means by it."""

import pickle

import pytest
from hydra import compose as theirs
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigLoadError
from omegaconf import OmegaConf

from scaleinv.runs import hydra_app
from scaleinv.runs.composing import composer
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.hydra_app import options
from scaleinv.runs.sweeps import expand

SWEEPS = [
    (["space=weight,gspace", "epochs=1", "seeds=1,2"], 4, ["space=weight", "epochs=1", "seeds=2"]),
    (["space.value=range(1,4)", "optimizer.lr=[0.1,0.01]"], 3, ["space.value=2", "optimizer.lr=[0.1,0.01]"]),
    (["network.hidden=[4],[4,4]", "+name='a b',c"], 4, ["network.hidden=[4]", "+name=c"]),
    (["epochs=choice(1,2)", "epochs=5"], 1, ["epochs=5"]),
    ([], 1, []),
]


@pytest.mark.parametrize(("words", "count", "second"), SWEEPS)
def test_a_sweep_is_expanded_as_hydra_does(words, count, second):
    runs = expand(words)
    assert len(runs) == count
    assert runs[min(1, count - 1)] == second
    private = pytest.importorskip("hydra._internal.core_plugins.basic_sweeper", reason="this Hydra hides it elsewhere")
    parsed = OverridesParser.create().parse_overrides(words)
    assert runs == private.BasicSweeper.split_arguments(parsed, None)[0]


def test_an_interval_is_no_sweep():
    with pytest.raises(ConfigError, match="interval"):
        expand(["optimizer.lr=interval(0.1,0.2)"])


def test_each_hydra_is_told_what_it_knows():
    def hydra_1_3(config_path, config_name, version_base):
        """Know nothing of execution."""

    def hydra_1_4(config_path, config_name, version_base, execution_whitelist):
        """Deprecate version_base."""

    assert options(hydra_1_3) == ({"version_base": "1.3"}, {"version_base": "1.3"})
    told, composing = options(hydra_1_4)
    assert told == {"execution_whitelist": []}
    assert composing == {}


def test_without_hydras_private_state_configurations_are_composed_too(monkeypatch):
    """Beside another application that is refused, since its state could not be kept."""
    wanted = compose(["epochs=3"]).run_id
    with hydra_app.composing():
        monkeypatch.setattr(hydra_app, "Singleton", object())
        with pytest.raises(ConfigError, match="another Hydra application"):
            compose(["epochs=3"])
    assert compose(["epochs=3"]).run_id == wanted


def test_a_file_is_parsed_again_when_it_has_changed(tmp_path, monkeypatch):
    parsed, load = [], hydra_app.FileConfigSource.load_config
    monkeypatch.setattr(hydra_app.FileConfigSource, "load_config", lambda self, p: parsed.append(p) or load(self, p))
    source = hydra_app.ParsedOnce("mine", f"file://{tmp_path}")
    for text in ("a: 1", "a: 22"):
        (tmp_path / "mine.yaml").write_text(text)
        for _ in range(2):
            config = source.load_config("mine").config
            assert config == OmegaConf.create(text)
            config.a = "changed by a composition"
    assert parsed == ["mine", "mine"]
    with pytest.raises(ConfigLoadError):
        source.load_config("none")


def _composed(words):
    """Compose without resolving interpolations: the run's keys and Hydra's."""
    with composer() as composed:
        return [OmegaConf.to_container(part) for part in composed(words)]


def test_a_composition_does_not_change_the_next_and_is_what_it_is_without_memory(monkeypatch):
    commands = [["experiment=fig_4_1", "optimizer.lr=[0.1,0.2]"], ["space=gspace"], ["epochs=2"]]
    first = [compose(words) for words in commands]
    assert [compose(words) for words in commands] == first
    quick = [_composed(words) for words in commands]
    monkeypatch.setattr(hydra_app, "IS_QUICK", False)  # as where Hydra hides it
    monkeypatch.setattr(hydra_app.ParsedOnce, "load_config", None)
    assert [compose(words) for words in commands] == first
    assert [_composed(words) for words in commands] == quick


def test_a_process_of_joblib_can_register_hydras_own_source():
    """It gets our source with Hydra's state, and must find our class by its name in this module."""
    with hydra_app.composing():
        registry = hydra_app.SourcesRegistry.instance()
        assert registry.types["file"] is pickle.loads(pickle.dumps(hydra_app.ParsedOnce))
        registry.register(hydra_app.FileConfigSource)
        assert registry.types["file"] is hydra_app.ParsedOnce


def test_a_defaults_list_may_refer_to_other_choices_and_place_a_file_twice(tmp_path, monkeypatch):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.yaml").write_text("x: {y: 1}\n")
    (tmp_path / "part" / "b.yaml").write_text("x: {y: 2}\n")
    defaults = "".join(f"- {one}\n" for one in ("part: a", "part@one: ${part}", "part@two.deep: ${part}", "_self_"))
    (tmp_path / "mine.yaml").write_text(f"defaults:\n{defaults}one: {{x: {{z: 3}}}}\n")
    wanted = {"part": {"x": {"y": 2}}, "one": {"x": {"y": 2, "z": 3}}, "two": {"deep": {"x": {"y": 2}}}}
    for quick in (hydra_app.IS_QUICK, False):
        monkeypatch.setattr(hydra_app, "IS_QUICK", quick)
        with initialize_config_dir(str(tmp_path), version_base="1.3"), hydra_app._quick():
            assert theirs("mine", ["part=b"]) == wanted
