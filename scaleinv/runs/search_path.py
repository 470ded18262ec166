"""Configuration files of installed packages, found beside ours."""

from importlib.metadata import entry_points

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin


class InstalledConfigurations(SearchPathPlugin):
    """Adds the packages of YAML files that other packages name as entry points of the group ``scaleinv.conf``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Look there last, so that no file of ours is replaced."""
        for point in entry_points(group="scaleinv.conf"):
            search_path.append(f"entry point {point.name}", f"pkg://{point.value}")


def register_search_path() -> None:
    """Make Hydra look for configurations in the packages that offer some."""
    Plugins.instance().register(InstalledConfigurations)
