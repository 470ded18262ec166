"""Data of one's own."""

from scripts.expectations.trying import Place, check, expect, need, sentence

SECTION = "Your data"
QUICK = "network.hidden=[8] epochs=1 progress=false"
SAMPLE = """
import numpy as np
rng = np.random.default_rng(0)
x, y = rng.normal(size=(300, 6)).astype("float32"), rng.integers(3, size=300)
x[np.arange(300), y] += 3
"""


def _trained(at: Place) -> str:
    runs = at.metrics()
    check(len(runs) == 1, f"{len(runs)} runs, not one")
    name, content = next(iter(runs.items()))
    return f"trained: {name}, {len(content.splitlines()) - 1} rows"


def _written(at: Place, code: str) -> None:
    at.write("make.py", SAMPLE + code)
    at.prepare("python make.py")


FRAME = "import pandas as pd; frame = pd.DataFrame(x, columns=list('abcdef')).assign(kind=y)\n"


@expect(SECTION, "an .npz file with x and y is trained on")
def npz(at: Place) -> str:
    _written(at, "np.savez('mine.npz', x=x, y=y)")
    at.run(f"scaleinv-run dataset=tensors dataset.path=mine.npz {QUICK}")
    return _trained(at)


@expect(SECTION, "a .pt file too, and .safetensors")
def tensors(at: Place) -> str:
    _written(at, "import torch; torch.save({'x': torch.tensor(x), 'y': torch.tensor(y)}, 'mine.pt')\n"
             "from safetensors.numpy import save_file; save_file({'x': x, 'y': y}, 'mine.safetensors')")  # fmt: skip
    at.run(f"scaleinv-run dataset=tensors dataset.path=mine.pt {QUICK}")
    trained = _trained(at)
    again = at.run(f"scaleinv-run dataset=tensors dataset.path=mine.safetensors {QUICK}")
    check(len(at.metrics()) == 1, "the same numbers in another file were another run")
    return f"{trained}; the same numbers in the other format are the same run: {again.splitlines()[-1].strip()}"


@expect(SECTION, "a CSV file with a column to predict")
def table(at: Place) -> str:
    _written(
        at,
        "import pandas as pd; pd.DataFrame(x, columns=list('abcdef')).assign(kind=y).to_csv('mine.csv', index=False)",
    )
    at.run(f"scaleinv-run dataset=tensors dataset.path=mine.csv dataset.target=kind {QUICK}")
    return _trained(at)


@expect(SECTION, "a parquet file")
def parquet(at: Place) -> str:
    need("pyarrow")
    _written(
        at, "import pandas as pd; pd.DataFrame(x, columns=list('abcdef')).assign(kind=y).to_parquet('mine.parquet')"
    )
    at.run(f"scaleinv-run dataset=tensors dataset.path=mine.parquet dataset.target=kind {QUICK}")
    return _trained(at)


@expect(SECTION, "a folder of images, one sub-folder per class")
def images(at: Place) -> str:
    _written(at, """
from pathlib import Path
from PIL import Image
for i in range(60):
    folder = Path("pictures") / "ab"[i % 2]
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(128 * (i % 2), 128 + 128 * (i % 2), (8, 8), dtype="uint8")).save(folder / f"{i}.png")
""")  # fmt: skip
    at.run(f"scaleinv-run dataset=tensors dataset.path=pictures {QUICK}")
    return _trained(at)


@expect(SECTION, "regression")
def regression(at: Place) -> str:
    _written(at, "np.savez('mine.npz', x=x, y=x[:, 0] - x[:, 1])")
    at.run(f"scaleinv-run dataset=tensors dataset.path=mine.npz loss=mean_squared_error {QUICK}")
    return _trained(at)


@expect(SECTION, "float targets with a loss for classes are refused")
def floats_as_classes(at: Place) -> str:
    _written(at, "np.savez('mine.npz', x=x, y=x[:, 0] - x[:, 1])")
    return sentence(at.run(f"scaleinv-run dataset=tensors dataset.path=mine.npz {QUICK}", code=2))


@expect(SECTION, "a function of mine that returns tensors")
def function(at: Place) -> str:
    at.write("mine.py", "import torch\n\n\ndef blobs(count=200):\n    y = torch.arange(count) % 2\n"
             "    return torch.randn(count, 4) + 2 * y[:, None], y\n")  # fmt: skip
    at.run(f"scaleinv-run dataset=mine:blobs dataset.count=100 {QUICK}")
    return _trained(at)


@expect(SECTION, "changed data are another run, not the old one's results")
def changed(at: Place) -> str:
    _written(at, "np.savez('mine.npz', x=x, y=y)")
    at.run(f"scaleinv-run dataset=tensors dataset.path=mine.npz {QUICK}")
    _written(at, "x[0, 0] += 1; np.savez('mine.npz', x=x, y=y)")
    at.run(f"scaleinv-run dataset=tensors dataset.path=mine.npz {QUICK}", shown="one number changed, the same command")
    names = list(at.metrics())
    check(len(names) == 2, f"{len(names)} runs, not two")
    return f"two runs: {', '.join(names)}"


@expect(SECTION, "NaN in the data is refused before anything starts")
def missing_numbers(at: Place) -> str:
    _written(at, "x[3, 2] = np.nan; np.savez('mine.npz', x=x, y=y)")
    said = sentence(at.run(f"scaleinv-run dataset=tensors dataset.path=mine.npz {QUICK}", code=2))
    check(not at.metrics(), "a run was started")
    return said


@expect(SECTION, "a file that is not there is refused")
def no_file(at: Place) -> str:
    return sentence(at.run(f"scaleinv-run dataset=tensors dataset.path=nothing.npz {QUICK}", code=2))


@expect(SECTION, "published data that are not on the disk are named with what to do")
def no_download(at: Place) -> str:
    return sentence(at.run("scaleinv-run dataset=mnist dataset.root=nowhere dataset.download=false epochs=1", code=2))
