"""Configuration files of installed packages, found beside ours."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from scaleinv.runs.suggestions import installed_conf


class InstalledConfigurations(SearchPathPlugin):
    """Adds the packages of :func:`scaleinv.runs.suggestions.installed_conf`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Look there last, so that no file of ours is replaced."""
        for name, package in installed_conf().items():
            search_path.append(f"entry point {name}", f"pkg://{package}")


def register_search_path() -> None:
    """Make Hydra look for configurations in the packages that offer some."""
    Plugins.instance().register(InstalledConfigurations)
