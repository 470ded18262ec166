"""The command ``scaleinv-run``. torch is imported when a run starts, so that ``--help`` answers at once."""

import os
import signal
import sys

from omegaconf import DictConfig

from scaleinv.runs import outcomes
from scaleinv.runs.hydra_app import run_command


def main() -> None:
    """Run one configuration, or with ``-m`` every cell of a sweep; the README lists the exit codes."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then lets errors through, for outcomes.explain
    signal.signal(signal.SIGTERM, outcomes.terminate)
    outcomes.register_summary()
    try:
        outcomes.check_repeats(sys.argv[1:])
        run_command(_job)
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(outcomes.explain(error))
    sys.exit(outcomes.exit_code())


def _job(composed: DictConfig) -> None:
    with outcomes.guarded():
        from scaleinv.runs.config import parse
        from scaleinv.runs.run import run

        config = parse(composed)
        outcomes.report(config, run(config))


if __name__ == "__main__":
    main()
