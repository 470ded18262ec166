"""Let Hydra find configuration files of installed packages, and the keys of parts that have none."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from scaleinv.runs.given_parts import GivenParts
from scaleinv.runs.suggestions import installed_conf


class InstalledConfigurations(SearchPathPlugin):
    """Adds the packages of :func:`scaleinv.runs.suggestions.installed_conf`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append them to the search path, so that they cannot replace a file of this package."""
        for name, package in installed_conf().items():
            search_path.append(f"entry point {name}", f"pkg://{package}")
        search_path.append("a part of your own", "given://")


def register_search_path() -> None:
    """Register the plugins with Hydra."""
    Plugins.instance().register(InstalledConfigurations)
    Plugins.instance().register(GivenParts)
