"""Installing."""

from scripts.expectations.trying import ROOT, Place, expect, expect_of_test

SECTION = "Installing"


expect_of_test(SECTION, "a wheel that runs from an empty folder", "tests/test_wheel.py")


@expect(SECTION, "contributors' tools are dependency groups: uv run pytest")
def groups(at: Place) -> str:
    at.run(
        f"cd {ROOT} && UV_PROJECT_ENVIRONMENT=$(dirname $(dirname $(which python))) uv run --no-sync pytest"
        " -q -p no:cacheprovider tests/test_imports.py",
        shown="uv run --no-sync pytest tests/test_imports.py",
    )
    return "the tests ran"
