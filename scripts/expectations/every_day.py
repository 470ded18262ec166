"""Commands of every day, records, and what becomes of a run that is killed."""

import json

from scripts.expectations.trying import Place, check, expect, sentence

SECTION = "Commands and records"
SMALL = "seeds=2 'optimizer.lr=[0.1,0.01]' epochs=2 progress=false"


@expect(SECTION, "--version is ours")
def version(at: Place) -> str:
    printed = at.run("scaleinv-run --version").strip()
    check(printed.startswith("scaleinv "), f"it printed {printed!r}")
    return printed


@expect(SECTION, "--help shows our keys first, with their comments")
def help_text(at: Place) -> str:
    lines = at.run("scaleinv-run --help").splitlines()
    keys, budget = (
        next(i for i, line in enumerate(lines, 1) if line.strip().startswith(w)) for w in ("seeds=", "study.")
    )
    check(keys < budget, "the keys do not stand before the budget")
    return f"{len(lines)} lines; seeds in line {keys}, the study's budget from line {budget}"


@expect(SECTION, "tab completion")
def completion(at: Place) -> str:
    line = "scaleinv-run space=g"
    printed = at.run("scaleinv-run -sc query=bash", shown=f"{line}, then the tab key", COMP_LINE=line)
    found = [word for word in printed.split() if word.startswith("space=g")]
    check("space=gspace" in found, f"it offered {printed[:80]!r}")
    return f"offered: {' '.join(found)}"


@expect(SECTION, "a misspelt key is answered with what was probably meant")
def misspelt(at: Place) -> str:
    return sentence(at.run("scaleinv-run optimizer.lrr=0.1", code=2))


@expect(SECTION, "from another directory, and twice: nothing is done again")
def twice(at: Place) -> str:
    at.run(f"scaleinv-run {SMALL}")
    before = at.metrics()
    printed = at.run(f"scaleinv-run {SMALL}", shown="the same again")
    check(at.metrics() == before, "the records changed")
    return printed.splitlines()[-1].strip()


@expect(SECTION, "killed with -9 and started again: the same bytes as without")
def killed(at: Place) -> str:
    command = "scaleinv-run seeds=4 'optimizer.lr=[0.1,0.01]' epochs=60 checkpoint_seconds=0 progress=false"
    at.run(f"{command} name=whole")
    script = (
        f"{command} name=killed & pid=$!; for i in $(seq 600); do sleep 0.1;"
        " [ $(cat results/killed/*/metrics.csv 2>/dev/null | wc -l) -gt 40 ] && break; done; kill -9 $pid; wait $pid"
    )
    at.run(script, code=137, shown=f"{command}, killed after some epochs")
    (part,) = at.folder.glob("results/killed/*/metrics.csv")
    rows = len(part.read_bytes().splitlines())
    at.run(f"{command} name=killed", shown="the same command again")
    (whole,) = at.folder.glob("results/whole/*/metrics.csv")
    total = len(whole.read_bytes().splitlines())
    check(rows < total, "it had ended before it was killed")
    check(part.read_bytes() == whole.read_bytes(), "the bytes differ")
    return f"killed at row {rows} of {total}; the same {len(whole.read_bytes())} bytes in the end"


@expect(SECTION, "runs are listed, with what differs")
def listed(at: Place) -> str:
    at.run(f"scaleinv-run -m space=weight,gspace {SMALL}")
    printed = at.run("scaleinv-runs ls")
    check("gspace" in printed and "weight" in printed, f"it printed {printed!r}")
    return f"{len(printed.splitlines())} lines, the first: {printed.splitlines()[0]}"


@expect(SECTION, "a run is shown, with the command that repeats it")
def shown(at: Place) -> str:
    at.run(f"scaleinv-run {SMALL}")
    (name,) = at.metrics()
    printed = at.run(f"scaleinv-runs show {name}", shown="scaleinv-runs show RUN")
    check("scaleinv-run" in printed, "no command was shown")
    return f"{len(printed.splitlines())} lines, with the command"


@expect(SECTION, "a table of the best per method and learning rate")
def tabled(at: Place) -> str:
    at.run(f"scaleinv-run -m space=weight,gspace {SMALL}")
    printed = at.run("scaleinv-runs table --rows space --columns lr --format markdown")
    check(printed.count("|") > 8, f"it printed {printed!r}")
    return f"a table of {sum('|' in line for line in printed.splitlines())} lines"


@expect(SECTION, "two methods are compared with an interval")
def compared(at: Place) -> str:
    at.run("scaleinv-run -m space=weight,gspace seeds=5 'optimizer.lr=[0.3,0.1,0.03]' epochs=2 progress=false")
    printed = at.run("scaleinv-runs compare 'SGD / G' 'SGD / weight'")
    check("[" in printed, "there is no interval")
    return " ".join(next(line for line in printed.splitlines() if "loss ratio" in line).split())


@expect(SECTION, "records are exported as one table")
def exported(at: Place) -> str:
    at.run(f"scaleinv-run {SMALL}")
    at.run("scaleinv-runs export --out all.csv")
    rows = len((at.folder / "all.csv").read_text().splitlines()) - 1
    check(rows == 12, f"{rows} rows, not 12")
    return f"{rows} rows"


@expect(SECTION, "a run is removed, and nothing that is not its own")
def removed(at: Place) -> str:
    at.run(f"scaleinv-run {SMALL}")
    (name,) = at.metrics()
    notes = at.folder / "results" / "runs" / name / "notes.txt"
    notes.write_text("mine")
    remove = f"scaleinv-runs rm {name} --yes"
    refusal = at.run(remove, code=2, shown="scaleinv-runs rm RUN --yes, with a file of mine in it")
    check(notes.exists() and bool(at.metrics()), "something was removed")
    notes.unlink()
    at.run(remove, shown="the same without that file")
    check(not at.metrics(), "it is still there")
    return f"refused first: {sentence(refusal)}; then removed"


@expect(SECTION, "a member that diverges does not end the others")
def diverged(at: Place) -> str:
    printed = at.run("scaleinv-run 'optimizer.lr=[0.1,1e10]' epochs=2 progress=false")
    check("1 diverged" in printed, f"it printed {printed!r}")
    return printed.splitlines()[1].strip()


@expect(SECTION, "trained weights as a plain module, in one line")
def weights(at: Place) -> str:
    at.run("scaleinv-run 'optimizer.lr=[0.1,0.01]' epochs=1 keep=last progress=false")
    (name,) = at.metrics()
    code = f"import scaleinv\nprint(scaleinv.load_model('results/runs/{name}', {{'lr': 0.1, 'seed': 0}}))"
    return at.python(code, shown="scaleinv.load_model(run, {'lr': 0.1, 'seed': 0})")


@expect(SECTION, "a figure of my records, with its numbers beside it")
def figure(at: Place) -> str:
    at.run(f"scaleinv-run -m space=weight,gspace {SMALL}")
    at.run("python -m scaleinv.report.figures loss_vs_lr results/runs --out curve")
    caption = json.loads((at.folder / "curve.json").read_text())["caption"]
    names = sorted(path.name for path in at.folder.glob("curve*"))
    return f"{', '.join(names)}; caption: {caption[:80]}..."
