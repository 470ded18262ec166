"""Grids and what is done in a step."""

from scripts.expectations.trying import Place, check, expect, sentence

SECTION = "Grids and steps"
QUICK = "network.hidden=[8] epochs=1 progress=false"


@expect(SECTION, "nine learning rates from 1e-4 to 1")
def logarithmic(at: Place) -> str:
    printed = at.run(f"scaleinv-run 'optimizer.lr=log(1e-4,1,9)' {QUICK}")
    check("9 members" in printed, f"it printed {printed!r}")
    return printed.splitlines()[1].strip()


@expect(SECTION, "1 and 5 in each of four decades, and the list is the same run")
def decades(at: Place) -> str:
    at.run(f"scaleinv-run 'optimizer.lr=grid(1,5,decades=4)' {QUICK}")
    listed = "[0.0001,0.0005,0.001,0.005,0.01,0.05,0.1,0.5]"
    at.run(f"scaleinv-run 'optimizer.lr={listed}' {QUICK}")
    check(len(at.metrics()) == 1, f"{len(at.metrics())} runs, not one")
    return f"one run of 8 members: {', '.join(at.metrics())}"


@expect(SECTION, "a grid that cannot be is refused")
def impossible(at: Place) -> str:
    return sentence(at.run(f"scaleinv-run 'optimizer.lr=log(0,1,9)' {QUICK}", code=2))


@expect(SECTION, "gradient clipping, as an axis")
def clipping(at: Place) -> str:
    printed = at.run(f"scaleinv-run 'optimizer.clip=[0,0.1,1]' {QUICK}")
    check("3 members" in printed, f"it printed {printed!r}")
    return printed.splitlines()[1].strip()


@expect(SECTION, "a batch in parts")
def parts(at: Place) -> str:
    printed = at.run(f"scaleinv-run accumulate=4 {QUICK}")
    return f"{printed.splitlines()[1].strip()}; {at.test('tests/test_step_options.py')}"


@expect(SECTION, "warm-up")
def warm_up(at: Place) -> str:
    return (
        at.run("scaleinv-run schedule=warmup schedule.steps=50 network.hidden=[8] epochs=4 progress=false")
        .splitlines()[1]
        .strip()
    )


@expect(SECTION, "values that go in step: pairs, not every combination")
def zipped(at: Place) -> str:
    at.run(f"scaleinv-run -m 'zip=[space,optimizer.lr]' space=weight,gspace optimizer.lr=0.1,0.01 {QUICK}")
    check(len(at.metrics()) == 2, f"{len(at.metrics())} runs, not two")
    return f"two runs: {', '.join(at.metrics())}"
