"""Trackers."""

from scripts.expectations.trying import Place, check, expect, expect_of_test, need, sentence

SECTION = "Trackers"
RUN = "scaleinv-run 'optimizer.lr=[0.1,0.01]' epochs=2 progress=false"


@expect(SECTION, "TensorBoard shows the curves of every member")
def tensorboard(at: Place) -> str:
    need("tensorboard")
    at.run(f"{RUN} tracker=tensorboard")
    files = list(at.folder.rglob("events.out.tfevents*"))
    check(len(files) >= 2, f"{len(files)} files of events, not one per member")
    return f"{len(files)} files of events for 2 members"


@expect(SECTION, "MLflow, in a folder")
def mlflow(at: Place) -> str:
    need("mlflow")
    at.run(f"{RUN} tracker=mlflow")
    return at.test("tests/test_trackers.py -k mlflow")


@expect(SECTION, "wandb, offline")
def wandb(at: Place) -> str:
    need("wandb")
    at.run(f"{RUN} tracker=wandb tracker.mode=offline")
    runs = [path for path in at.folder.rglob("offline-run-*") if path.is_dir()]
    check(len(runs) == 2, f"{len(runs)} offline runs, not one per member")
    return "2 offline runs, one per member"


@expect(SECTION, "a tracker changes no byte of the records")
def same_bytes(at: Place) -> str:
    need("tensorboard")
    at.run(f"{RUN} name=with tracker=tensorboard")
    at.run(f"{RUN} name=without")
    (one,), (other,) = (list(at.folder.glob(f"results/{name}/*/metrics.csv")) for name in ("with", "without"))
    check(one.parent.name == other.parent.name, "the runs have different ids")
    check(one.read_bytes() == other.read_bytes(), "the bytes differ")
    return f"the same id and the same {len(one.read_bytes())} bytes"


@expect(SECTION, "a tracker that is not installed is named before anything starts")
def absent(at: Place) -> str:
    said = sentence(at.run(f"{RUN} tracker=trackio", code=2))
    check(not at.metrics(), "a run was started")
    return said


expect_of_test(SECTION, "a tracker of my own", "tests/test_trackers.py -k own")
