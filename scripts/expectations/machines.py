"""Several runs at once, on one machine or on many."""

import re

from scripts.expectations.trying import Place, check, expect, need

SECTION = "Many runs"
# What every sweep ends with, whichever launcher and sweeper print around it.
ACCOUNT = re.compile(r"^\d+ of \d+ cells done$", re.MULTILINE)
GRID = "space=weight,gspace epochs=1 progress=false"


def _account(printed: str) -> str:
    """Return the line that says how many cells are done."""
    found = ACCOUNT.findall(printed)
    check(bool(found), "the sweep gave no account of its cells")
    return found[0]


@expect(SECTION, "joblib: cells of a sweep side by side")
def joblib(at: Place) -> str:
    need("hydra_plugins.hydra_joblib_launcher")
    printed = at.run(f"scaleinv-run -m hydra/launcher=joblib hydra.launcher.n_jobs=2 threads=1 {GRID}")
    check(len(at.metrics()) == 2, "there are not two runs")
    return _account(printed)


@expect(SECTION, "submitit, here on this machine")
def submitit(at: Place) -> str:
    need("hydra_plugins.hydra_submitit_launcher")
    printed = at.run(f"scaleinv-run -m hydra/launcher=submitit_local {GRID}")
    check(len(at.metrics()) == 2, "there are not two runs")
    return _account(printed)


@expect(SECTION, "Optuna searches a learning rate")
def optuna(at: Place) -> str:
    need("hydra_plugins.hydra_optuna_sweeper")
    printed = at.run(
        "scaleinv-run -m hydra/sweeper=optuna hydra.sweeper.n_trials=3 hydra.sweeper.n_jobs=1"
        " 'optimizer.lr=interval(0.001,1)' epochs=1 progress=false"
    )
    check(len(at.metrics()) == 3, "there are not three runs")
    return _account(printed)
