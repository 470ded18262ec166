"""Data of a user's own, in a file or a folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaleinv.runs.datasets._arrays import read_npz, read_pt, read_safetensors
from scaleinv.runs.datasets._examples import KINDS, examples
from scaleinv.runs.datasets._folders import read_folder
from scaleinv.runs.datasets._tables import read_csv, read_parquet
from scaleinv.runs.datasets.base import Examples, ImageSet
from scaleinv.runs.errors import DataError

ARRAYS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".npz": read_npz,
    ".pt": read_pt,
    ".pth": read_pt,
    ".safetensors": read_safetensors,
}
TABLES = {".csv": read_csv, ".parquet": read_parquet}


@dataclass(frozen=True)
class Tensors(ImageSet):
    """Inputs and targets in a file of arrays, a table, or a folder with one sub-folder of images per class.

    Attributes:
        path: the file or folder.
        test_path: the test part, in the same format; None if ``path`` holds it too, or there is none.
        target: column of a table, or name of an array, that holds the targets.
        target_kind: ``labels``, ``numbers`` (regression), or ``auto``: whole numbers and texts are labels.
        drop: columns of a table that are left out.
    """

    path: str
    test_path: str | None = None
    target: str = "y"
    target_kind: str = "auto"
    drop: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.target_kind not in KINDS:
            raise ValueError(f"target_kind must be one of {', '.join(KINDS)}, got {self.target_kind!r}")

    def load(self, root: Path, download: bool) -> Examples:
        """Read the files; ``root`` and ``download`` are not used. See :meth:`ImageSet.load`."""
        arrays = self._read(Path(self.path), "path")
        if self.test_path is not None:
            if "x_test" in arrays:
                raise DataError(
                    f"the test part is given twice: {self.path} holds one", "dataset.test_path", "leave it out"
                )
            test = self._read(Path(self.test_path), "test_path")
            if "x_test" in test:
                raise DataError("this holds a test part itself", self.test_path, "give it as dataset.path alone")
            arrays |= {f"{name}_test": array for name, array in test.items()}
        return examples(arrays, self.path, self.target_kind)

    def stamp(self) -> str:
        """Return dates and sizes of all files; see :meth:`ImageSet.stamp`."""
        paths = [Path(path) for path in (self.path, self.test_path) if path is not None]
        files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
        status = [(str(file), file.stat()) for file in files if file.exists()]
        return repr([(name, one.st_mtime_ns, one.st_size) for name, one in status])

    def _read(self, path: Path, key: str) -> dict[str, Any]:
        where, ending = f"dataset.{key}", path.suffix.lower()
        if not path.exists():
            how = "give the path of a file or folder, relative to where the command starts"
            raise DataError(f"there is no {path}", where, how)
        try:
            if ending in TABLES and path.is_file():
                return TABLES[ending](path, self.target, self.drop)
            if self.drop:
                raise DataError("only the columns of a table can be dropped", "dataset.drop", "set dataset.drop=[]")
            if path.is_dir():
                return read_folder(path)
            if ending not in ARRAYS:
                known = ", ".join([*ARRAYS, *TABLES])
                raise DataError(f"{path} has none of the endings {known}", where, "save it in one of these formats")
            arrays = ARRAYS[ending](path)
        except OSError as error:
            raise DataError(f"it cannot be read: {error.strerror or error}", path, "see that it is whole") from error
        if self.target in arrays:
            return {**{name: array for name, array in arrays.items() if name != self.target}, "y": arrays[self.target]}
        if self.target != "y":
            raise DataError(f"there is no {self.target}, only {', '.join(arrays)}", path, "set dataset.target")
        return arrays
