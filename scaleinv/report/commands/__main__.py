"""The command ``scaleinv-runs``: look at the runs of a results folder, compare, export and remove them. No torch.

scaleinv-runs ls space=gspace --sort best
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from scaleinv.runs import outcomes
from scaleinv.runs.errors import UserError
from scaleinv.runs.suggestions import did_you_mean
from scaleinv.runs.versions import version_text

DESCRIPTION = "Look at the runs of a results folder, compare, export and remove them."
EPILOG = """examples:
  scaleinv-runs ls space=weight,gspace --sort best
  scaleinv-runs show 169891f3

scaleinv-runs COMMAND --help lists the options of a command."""
COMMANDS = ("ls", "show", "table", "compare", "export", "rm", "completion")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what one of the commands says; a wrong command is explained and ends with exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with outcomes.printed():
        if words == ["--version"]:
            outcomes.say(version_text())
            return
        try:
            if words and not words[0].startswith("-") and words[0] not in COMMANDS:
                raise UserError(f"there is no command {words[0]!r}", "", did_you_mean(words[0], COMMANDS))
            options = parsed(words)
            options.run(options)
        except (UserError, OSError, KeyboardInterrupt) as error:
            sys.exit(outcomes.explain(error))


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command; runs and conditions may stand after options too, which argparse alone does not take."""
    parser = _parser()
    options, further = parser.parse_known_args(words)
    if further and (not hasattr(options, "words") or any(word.startswith("-") for word in further)):
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    if further:
        options.words = [*options.words, *further]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scaleinv-runs",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="versions of scaleinv, torch, Python")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"scaleinv.report.commands.{name}")
        own = commands.add_parser(name, help=_summary(module.__doc__), description=module.__doc__)
        module.add_arguments(own)
        own.set_defaults(run=module.run, commands=COMMANDS)
    return parser


def _summary(text: str | None) -> str:
    return (text or "").partition(":")[0].partition("\n")[0].rstrip(".")


if __name__ == "__main__":
    main()
