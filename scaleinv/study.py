"""Run all experiments of a profile: train what is missing, draw, judge, compare with the release.

    python -m scaleinv.study --profile cpu [--only memory fig_4_1] [--datasets mnist] [--reuse results/release/cpu]

Runs that several experiments share are trained once. ``results/<profile>/index.json`` lists the runs of each
experiment; figures and claims find their records through it. A long study can be trained in parts: ``--only`` and
``--datasets`` choose one, in the order given, and the same command goes on where it was stopped.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from tqdm import tqdm

from scaleinv.report.claim_tables import print_table
from scaleinv.report.figures.__main__ import draw_all
from scaleinv.report.judging import judge_all
from scaleinv.report.release import departures
from scaleinv.runs.composing import composer
from scaleinv.runs.config import Config, parse
from scaleinv.runs.errors import ScaleinvError, UserError, file_trouble
from scaleinv.runs.folder import RunFolder, write_atomically
from scaleinv.runs.records import INDEX
from scaleinv.runs.run import notes, run
from scaleinv.runs.suggestions import conf_folder, did_you_mean
from scaleinv.runs.sweeps import expand
from scaleinv.runs.variants import Variants
from scaleinv.training.cell import list_members


@dataclass(frozen=True)
class Job:
    """One run of an experiment."""

    experiment: str
    config: Config

    @property
    def cost(self) -> float:
        """Return a number proportional to the time that the run takes."""
        return self.config.task.cost(self.config)


def experiments(folder: Path | None = None) -> list[str]:
    """List the experiments of the study: those that write their records to the folder of the profile."""
    paths = sorted(((folder or conf_folder()) / "experiment").glob("*.yaml"))
    return [path.stem for path in paths if _plain(path).get("name") == "${study.profile}"]


def _plain(path: Path) -> dict[Any, Any]:
    """Read a YAML file, interpolations left as they are."""
    keys = OmegaConf.to_container(OmegaConf.load(path))
    return keys if isinstance(keys, dict) else {}


def plan(profile: str, names: Sequence[str], overrides: Sequence[str] = ()) -> list[Job]:
    """List all runs of some experiments; those of one experiment are in the order of its sweep.

    Args:
        profile: name of a file in ``conf/profile``.
        names: names of files in ``conf/experiment``.
        overrides: further overrides for every run.

    Raises:
        ConfigError: a configuration is wrong.
    """
    jobs = []
    with composer() as composed:
        for name in names:
            variant = Variants(composed, [f"experiment={name}", f"profile={profile}"])
            words = [f"{key}={value}" for key, value in (variant.hydra.sweeper.params or {}).items()]
            jobs += [Job(name, parse(*variant([*job, *overrides]))) for job in expand(words)]
    return jobs


def once(jobs: Sequence[Job]) -> list[Job]:
    """Leave out runs that an earlier experiment already contains."""
    by_id: dict[str, Job] = {}
    for job in jobs:
        by_id.setdefault(job.config.run_id, job)
    return list(by_id.values())


def part(jobs: Sequence[Job], names: Sequence[str], datasets: Sequence[str]) -> list[Job]:
    """Choose the runs of some experiments and data sets, in the order of both lists; an empty list chooses all."""
    chosen = [job for job in jobs if not datasets or job.config.dataset.name in datasets]
    chosen.sort(key=lambda job: datasets.index(job.config.dataset.name) if datasets else 0)
    return [job for name in names for job in chosen if job.experiment == name] if names else chosen


def reuse(jobs: Sequence[Job], released: Path) -> int:
    """Copy the records of missing runs that a release has, and return their number.

    A run's name is a hash of everything that can change its result, so a run of the same name is the same run.
    """
    copied = 0
    for job in once(jobs):
        own, other = RunFolder(job.config.folder), RunFolder(released / job.config.run_id)
        if not own.is_done and other.is_done:
            own.adopt(other)
            copied += 1
    return copied


def write_index(profile: str, jobs: Sequence[Job], folder: Path) -> None:
    """Write ``index.json``: the runs of each experiment, and the command that makes them.

    Raises:
        UserError: there is an ``index.json`` that no study wrote.
    """
    listed: dict[str, dict[str, object]] = {}
    for job in jobs:
        command = f"scaleinv-run experiment={job.experiment} profile={profile}"
        entry = listed.setdefault(job.experiment, {"command": command, "runs": []})
        runs = entry["runs"]
        assert isinstance(runs, list)
        if job.config.run_id not in runs:
            runs.append(job.config.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / INDEX).exists() and not _is_index(folder / INDEX):
        raise UserError("this is no index of a study", folder / INDEX, "move it away, or set results=elsewhere")
    content = json.dumps({"profile": profile, "experiments": listed}, indent=1) + "\n"
    write_atomically(folder / INDEX, content.encode())


def _is_index(path: Path) -> bool:
    """Whether a study wrote this file."""
    try:
        entries = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(entries, dict) and {"profile", "experiments"} <= set(entries)


def train(jobs: Sequence[Job]) -> list[str]:
    """Run what is missing, one run after the other, and print progress and an estimate of the remaining time.

    Returns:
        One message per failed run; all other runs are done.
    """
    unique = once(jobs)
    missing = [job for job in unique if not RunFolder(job.config.folder).is_done]
    print(f"{len(unique)} runs, {len(unique) - len(missing)} of them done")
    remarks = [note for job in unique if job not in missing for note in notes(job.config)]
    if remarks:
        print(f"{len(remarks)} of those done: {remarks[0]}")
    total, spent, began, errors = sum(job.cost for job in missing) or 1.0, 0.0, time.monotonic(), []
    for i, job in enumerate(missing, 1):
        elapsed = time.monotonic() - began
        left = f", about {elapsed / spent * (total - spent) / 60:.0f} min left" if spent > 0 else ""
        tqdm.write(f"[{i}/{len(missing)}{left}] {job.experiment}, {job.config.title}: {job.config.folder}")
        try:
            tqdm.write(f"  {run(job.config)}")
        except ScaleinvError as error:
            errors.append(f"{error}\n  again: {job.config.command}")
            tqdm.write(str(error))
        spent += job.cost
    return errors


def _size(jobs: Sequence[Job]) -> str:
    """Say how much is missing: runs, and run-epochs by data set."""
    missing = [job for job in once(jobs) if not RunFolder(job.config.folder).is_done]
    epochs: dict[str, int] = {}
    for job in missing:
        config, name = job.config, job.config.dataset.name
        if job.cost:
            epochs[name] = epochs.get(name, 0) + len(list_members(config.seeds, config.axes)) * config.epochs
    listed = "".join(f", {count} members x epochs of {name}" for name, count in epochs.items())
    return f"{len(missing)} of {len(once(jobs))} runs are missing{listed}"


def compare(folder: Path, released: Path) -> None:
    """Print where the study differs from the release of the same profile, if there is one."""
    if not (released / INDEX).exists() or folder.resolve() == released.resolve():
        return
    departed, compared = departures(folder, released)
    print(
        f"compared with {released}: {len(departed)} of {compared} median losses depart by more than the seeds' spread"
    )
    if len(departed):
        print(
            departed[["experiment", "dataset", "space", "optimizer", "lr", "median_new", "median_old"]].to_string(
                index=False
            )
        )


def default_profile() -> str:
    """Return ``paper`` on a machine with a GPU, else ``cpu``."""
    import torch

    return "paper" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """Plan, write the index, train what is missing, draw the figures, print the claims, compare with the release."""
    parser = argparse.ArgumentParser(prog="python -m scaleinv.study", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="auto", help="smoke, cpu or paper; auto takes paper on a GPU, else cpu")
    parser.add_argument("--only", nargs="+", default=[], metavar="EXPERIMENT", help="some experiments, in this order")
    parser.add_argument("--datasets", nargs="+", default=[], metavar="DATASET", help="some data sets, in this order")
    parser.add_argument("--reuse", type=Path, metavar="RELEASE", help="copy the runs that this folder has")
    parser.add_argument("--train", action="store_true", help="train only; draw and judge nothing")
    parser.add_argument("--plan", action="store_true", help="write the index and list the runs, train nothing")
    parser.add_argument("overrides", nargs="*", help="overrides for every run, e.g. results=elsewhere")
    options = parser.parse_args()
    profile = default_profile() if options.profile == "auto" else options.profile
    known = experiments()
    try:
        for name in options.only:
            if name not in known:
                raise UserError(f"there is no experiment {name!r}", "--only", did_you_mean(name, known))
        jobs = plan(profile, known, options.overrides)
        folder = jobs[0].config.folder.parent
        write_index(profile, jobs, folder)
        chosen = part(jobs, options.only, options.datasets)
        if not chosen:
            raise UserError("there are no such runs", "--datasets", "choose data sets that the experiments have")
        if options.reuse is not None:
            print(f"{reuse(chosen, options.reuse)} runs copied from {options.reuse}")
        if options.plan:
            for job in once(chosen):
                state = "done" if RunFolder(job.config.folder).is_done else "missing"
                print(f"{state:<8} {job.experiment:<14} {job.config.run_id}")
            print(_size(chosen))
            return
        errors = train(chosen)
        if options.train:
            sys.exit(_problems(errors))
        command = f"python -m scaleinv.report.figures all {folder} --out {folder}/figures"
        errors += draw_all(folder, folder / "figures", command, options.only)
        if options.only:
            print(f"claims need every experiment: python -m scaleinv.study --profile {profile}, without --only")
        else:
            print_table(judge_all(folder))
            compare(folder, conf_folder().parent / "results" / "release" / profile)
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(str(UserError(*file_trouble(error))))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    sys.exit(_problems(errors))


def _problems(errors: Sequence[str]) -> str | int:
    """Return what the process ends with."""
    return "\n".join([*errors, f"{len(errors)} problems"]) if errors else 0


if __name__ == "__main__":
    main()
