"""Errors that a user can mend: what is wrong, where, and how to mend it."""


class ScaleinvError(Exception):
    """An error that is shown as three lines, without a traceback."""

    def __init__(self, what: str, where: object = "", how: str = "") -> None:
        """Say what is wrong, where (a key or a path), and how to mend it."""
        super().__init__(what)
        self.what, self.where, self.how = what, str(where), how

    def __str__(self) -> str:
        """Return at most three lines."""
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.how:
            lines.append(f"  mend:  {self.how}")
        return "\n".join(lines)


class RunFailedError(ScaleinvError):
    """A run that stopped with an exception; its traceback is in the folder's ``error.txt``."""


class UserError(ScaleinvError):
    """A mistake in a command, a configuration or the data; nothing was started."""


class ConfigError(UserError):
    """A key or value of the configuration."""


class DataError(UserError):
    """A data set that is missing or damaged."""
