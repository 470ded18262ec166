"""The command ``scaleinv-symmetry``: which channels of a model may be rescaled, and what keeps others from it.

scaleinv-symmetry torchvision.models:resnet18 --input 3,64,64
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from scaleinv.report.output import refuse_foreign
from scaleinv.runs import outcomes
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import write_atomically


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command, report, print; a wrong command or model is explained and ends with exit code 2."""
    options = _parser().parse_args(arguments)
    with outcomes.printed():
        try:
            report = _report(options.model, options.input)
            _write(report, options.json, options.picture, sys.argv[1:] if arguments is None else arguments)
        except (UserError, OSError, KeyboardInterrupt) as error:
            sys.exit(outcomes.explain(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scaleinv-symmetry", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", metavar="package.module:factory", help="function that makes the model, or the model")
    parser.add_argument("--input", metavar="3,32,32", help="shape of one input; a chain of Linear layers needs none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw a picture: path without its ending")
    return parser


def _report(where: str, shape: str | None) -> Any:
    import torch  # takes seconds; --help and mistakes in the command are answered before

    from scaleinv.symmetry.network import UnsupportedNetworkError
    from scaleinv.symmetry.report import symmetry_report

    sizes = _sizes(shape)
    model = _model(where)
    if not isinstance(model, torch.nn.Module):
        raise UserError(f"no torch.nn.Module but a {type(model).__name__}", where, "name a function that makes a model")
    try:
        return symmetry_report(model, None if sizes is None else torch.zeros(1, *sizes))
    except UnsupportedNetworkError as error:
        if sizes is None:
            raise UserError("tracing needs the shape of one input", where, "add it: --input 3,32,32") from error
        raise UserError(str(error), where) from error


def _sizes(shape: str | None) -> list[int] | None:
    if shape is None:
        return None
    try:
        sizes = [int(size) for size in shape.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise UserError(f"{shape!r} is no shape", "--input", "write whole numbers with commas between: --input 3,32,32")
    return sizes


def _model(where: str) -> Any:
    """Import and call the factory."""
    name, _, path = where.partition(":")
    if not name or not path:
        raise UserError(f"{where!r} names no model", "", "write package.module:factory")
    sys.path.insert(0, "")  # modules of the folder that the command is given in
    try:
        made: Any = import_module(name)
        for part in path.split("."):
            made = getattr(made, part)
        return made() if isinstance(made, type) or not hasattr(made, "forward") else made
    except Exception as error:
        raise UserError(f"no model comes from {where}: {type(error).__name__}: {error}") from error


def _write(report: Any, data: Path | None, picture: Path | None, command: Sequence[str]) -> None:
    if data is not None:
        refuse_foreign(data, lambda content: b'"invariances"' in content)
        write_atomically(data, (json.dumps(report.record, indent=1) + "\n").encode())
    if picture is not None:
        from scaleinv.report.figures.style import save
        from scaleinv.report.symmetry import draw

        save(draw(report.record), picture, command=shlex.join(["scaleinv-symmetry", *command]))
    outcomes.say(str(report))


if __name__ == "__main__":
    main()
