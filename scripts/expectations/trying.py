"""How a line is tried: commands in an empty folder, and what must be seen there."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 600


class MissedError(Exception):
    """The line was tried and something else happened."""


class NotTriedError(Exception):
    """What the line needs is not here."""


@dataclass
class Place:
    """An empty folder in which one line is tried.

    Attributes:
        folder: the folder.
        commands: what was run, for the table.
    """

    folder: Path
    commands: list[str] = field(default_factory=list)

    def run(self, command: str, code: int = 0, shown: str = "", **environment: str) -> str:
        """Run a shell command and return what it printed.

        Args:
            command: the command.
            code: exit code that is expected.
            shown: what stands for it in the table; the command itself if empty.
            environment: variables added to the environment.

        Raises:
            MissedError: it ended with another code.
        """
        self.commands.append(shown or command)
        done = self._process(command, environment)
        printed = done.stdout + done.stderr
        if done.returncode != code:
            last = (printed.strip().splitlines() or ["nothing"])[-1]
            raise MissedError(f"`{command}` ended with {done.returncode}, not {code}: {last[:200]}")
        return printed

    def prepare(self, command: str) -> None:
        """Run a command that is no part of what is tried."""
        self._process(command, {}).check_returncode()

    def _process(self, command: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Run a command with the commands of this environment on the path."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = {**os.environ, "PATH": path, "PYTHONWARNINGS": "ignore", **environment}
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=variables, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip

    def python(self, code: str, shown: str, **environment: str) -> str:
        """Run Python code and return what it printed; ``shown`` stands for it in the table."""
        (self.folder / "tried.py").write_text(code)
        return self.run("python tried.py", shown=shown, **environment)

    def test(self, name: str) -> str:
        """Run a test of the repository and return how it ended.

        Raises:
            MissedError: it failed.
            NotTriedError: it was skipped; the message says why.
        """
        command = f"pytest -q -rs -p no:cacheprovider {name}"
        self.commands.append(command)
        done = self._process(f"cd {ROOT} && python -m {command}", {})
        lines = (done.stdout + done.stderr).strip().splitlines()
        if done.returncode:
            raise MissedError(f"the test ended with {done.returncode}: {lines[-1][:200]}")
        skipped = [line for line in lines if line.startswith("SKIPPED")]
        if skipped:
            raise NotTriedError(skipped[0].rpartition(": ")[2])
        count = sum(line.count(".") for line in lines if set(line.partition("[")[0].strip()) == {"."})
        return f"the test passed ({count} case{'s' * (count != 1)})"

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def metrics(self) -> dict[str, bytes]:
        """Return the bytes of every ``metrics.csv`` in the folder's results, by run."""
        return {path.parent.name: path.read_bytes() for path in sorted(self.folder.glob("results/*/*/metrics.csv"))}


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        section: heading that it stands under.
        expectation: what a user expects.
        attempt: tries it in a place and says what happened.
    """

    section: str
    expectation: str
    attempt: Callable[[Place], str]


LINES: list[Line] = []


def expect(section: str, expectation: str) -> Callable[[Callable[[Place], str]], Callable[[Place], str]]:
    """Make a function a line of the table, in the order in which they are defined."""

    def add(attempt: Callable[[Place], str]) -> Callable[[Place], str]:
        LINES.append(Line(section, expectation, attempt))
        return attempt

    return add


def expect_of_test(section: str, expectation: str, test: str) -> None:
    """Add a line whose promise a test of the repository holds."""
    expect(section, expectation)(lambda at: at.test(test))


def need(package: str) -> None:
    """Go no further where a package is missing."""
    if importlib.util.find_spec(package) is None:
        raise NotTriedError(f"{package} is not installed")


def check(holds: bool, otherwise: str) -> None:
    """Go no further where something does not hold."""
    if not holds:
        raise MissedError(otherwise)


def sentence(printed: str) -> str:
    """Return the error in what a command printed, in one line."""
    lines = [line.strip() for line in printed.splitlines()]
    first = next((i for i, line in enumerate(lines) if line.startswith("error:")), None)
    if first is None:
        raise MissedError(f"no error was printed: {' '.join(lines)[-200:]}")
    return " ".join(lines[first : first + 3])
