"""The command ``scaleinv-run``. torch is imported when a run starts, so that ``--help`` answers at once."""

import os
import signal
import sys
from collections.abc import Sequence

from scaleinv.runs import outcomes
from scaleinv.runs.cells import Account
from scaleinv.runs.composing import check_overrides, check_repeats
from scaleinv.runs.help import FLAGS, help_text
from scaleinv.runs.hydra_app import run_command
from scaleinv.runs.versions import version_text


def main() -> None:
    """Run one configuration, or with ``-m`` every cell of a sweep; docs/running.md lists the exit codes."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then passes errors on, so that outcomes.explain sees them
    signal.signal(signal.SIGTERM, outcomes.terminate)
    with outcomes.printed():
        if "--version" in sys.argv[1:]:
            outcomes.say(version_text())
            sys.exit(outcomes.DONE)
        sys.exit(_command(sys.argv[1:]))


def _command(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    account = Account()
    try:
        if any(word in FLAGS for word in arguments):
            outcomes.say(help_text(arguments))
            return outcomes.DONE
        check_repeats(arguments)
        check_overrides(arguments)
        with account.kept():
            run_command(account.run)
    except (Exception, KeyboardInterrupt) as error:
        return account.close(outcomes.explain(account.translated(error)))
    return account.close()


if __name__ == "__main__":
    main()
