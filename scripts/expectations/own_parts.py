"""Parts of one's own."""

from scripts.expectations.trying import Place, check, expect, expect_of_test, sentence

SECTION = "Your parts"
QUICK = "network.hidden=[8] epochs=1 progress=false"
RULE = '''
from dataclasses import dataclass

from scaleinv.optim import SGD


@dataclass(frozen=True)
class Slow(SGD):
    """SGD by another name, with an option."""

    patience: int = 1
'''


@expect(SECTION, "an optimizer in a file of mine, by package.module:Class")
def by_path(at: Place) -> str:
    at.write("mine.py", RULE)
    at.run(f"scaleinv-run optimizer=mine:Slow optimizer.patience=2 {QUICK}")
    (name,) = at.metrics()
    return f"trained: {name}"


@expect(SECTION, "its options are checked")
def checked(at: Place) -> str:
    at.write("mine.py", RULE)
    return sentence(at.run(f"scaleinv-run optimizer=mine:Slow optimizer.patiense=2 {QUICK}", code=2))


@expect(SECTION, "a class that is no optimizer is refused")
def wrong_kind(at: Place) -> str:
    at.write("mine.py", "class Nothing:\n    pass\n")
    return sentence(at.run(f"scaleinv-run optimizer=mine:Nothing {QUICK}", code=2))


@expect(SECTION, "a module that is not there is refused")
def missing(at: Place) -> str:
    said = sentence(at.run(f"scaleinv-run optimizer=nowhere:Slow {QUICK}", code=2))
    check(not at.metrics(), "a run was started")
    return said


expect_of_test(
    SECTION, "a project of parts, installed: a space, an optimizer, a network, a probe by name", "tests/test_yours.py"
)
