"""Promise: the wheel, installed in a fresh environment, runs from an empty directory."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*words, cwd):
    done = subprocess.run([str(w) for w in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_wheel_runs_from_an_empty_directory(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    run(*pip, "install", "--no-deps", "--quiet", "--target", site, wheel, cwd=tmp_path)
    # The dependencies weigh gigabytes: lend this environment's. Its own .pth files (this checkout) do not apply there.
    Path(site, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(python, "-c", "import scaleinv; print(scaleinv.__file__)", cwd=empty)
    assert where.startswith(str(tmp_path / "env"))
    command = [python, "-m", "scaleinv.cli", "epochs=1", "space=gspace", "progress=false", "threads=1"]
    run(*command, cwd=empty)
    run(python, "-m", "scaleinv.report.figures", "loss_vs_lr", "results", "--out", "picture", cwd=empty)
    assert {p.name for p in empty.iterdir()} == {"results", *(f"picture.{e}" for e in ("pdf", "png", "csv", "json"))}
