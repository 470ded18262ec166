"""Data sets that a function of a user's own returns; its parameters are the options."""

import inspect
import traceback
import typing
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, field, fields, make_dataclass
from pathlib import Path
from typing import Any, ClassVar

from scaleinv.runs.datasets._examples import examples, named
from scaleinv.runs.datasets.base import Examples, ImageSet
from scaleinv.runs.errors import DataError


class FunctionSet(ImageSet):
    """What a function returns; see docs/guides/dataset.md for its contract."""

    where: ClassVar[str]

    @staticmethod
    @abstractmethod
    def function(**options: Any) -> Any:
        """Return the arrays."""

    def load(self, root: Path, download: bool) -> Examples:
        """Call the function; see :meth:`ImageSet.load`."""
        options = {option.name: getattr(self, option.name) for option in fields(self)}
        try:
            given = self.function(**options)
        except DataError:
            raise
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            first = (str(error).strip() or "no message").splitlines()[0]
            what = f"{self.where} raised {type(error).__name__}: {first}"
            raise DataError(what, f"{at.filename}, line {at.lineno}", "mend the function, or its options") from error
        return examples(named(given, self.where), self.where)

    def stamp(self) -> str:
        """Return the identity of the function, which changes when its module is loaded again."""
        return str(id(self.function))


def of_function(function: Callable[..., Any]) -> type[ImageSet]:
    """Make a data set of a function; its parameters become fields, with their annotations and defaults.

    Raises:
        TypeError: a parameter cannot be given by name.
    """
    where = f"{function.__module__}:{function.__qualname__}"
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # an annotation that is imported for type checking only
        hints = {}
    options = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{where} has the parameter {parameter}, which is no option with a name")
        if hasattr(FunctionSet, parameter.name):
            raise TypeError(f"{where} has the parameter {parameter.name}, a name that every data set uses itself")
        default = MISSING if parameter.default is parameter.empty else parameter.default
        given: Any = field(default_factory=default.copy) if isinstance(default, list | dict) else field(default=default)
        hint = hints.get(parameter.name, Any)
        options.append((parameter.name, hint | None if default is None and hint is not Any else hint, given))
    members = {"function": staticmethod(function), "where": where}
    return make_dataclass(
        function.__name__, options, bases=(FunctionSet,), namespace=members, frozen=True, kw_only=True
    )
