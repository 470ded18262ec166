"""Models and training loops of one's own."""

from scripts.expectations.trying import Place, check, expect, expect_of_test, sentence

SECTION = "Your models"


expect_of_test(SECTION, "a model and a loop of my own train in another space", "tests/test_readme.py -k python_runs")
expect_of_test(SECTION, "Lightning: fit, clip, save, go on", "tests/test_frameworks.py::test_lightning")
expect_of_test(SECTION, "Accelerate on the CPU", "tests/test_frameworks.py::test_accelerate")
expect_of_test(SECTION, "torch.compile", "tests/test_frameworks.py::test_compiled_models")
expect_of_test(SECTION, "averaged weights (swa_utils.AveragedModel)", "tests/test_frameworks.py::test_averaged_weights")
expect_of_test(SECTION, "parameter groups", "tests/test_frameworks.py -k groups")


@expect(SECTION, "what may be rescaled in a published model, and why not the rest")
def report(at: Place) -> str:
    printed = at.run("scaleinv-symmetry torchvision.models:resnet18 --input 3,64,64")
    return printed.splitlines()[0]


@expect(SECTION, "a part without the symmetry is named, and the rest goes on")
def anchored(at: Place) -> str:
    at.write("mine.py", "from torch import nn\n\n\ndef model():\n    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(),"
             " nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2))\n")  # fmt: skip
    printed = at.run("scaleinv-symmetry mine:model --input 4")
    check("K = 8 " in printed and "gelu" in printed, f"it printed {printed!r}")
    return next(" ".join(line.split()) for line in printed.splitlines() if "gelu" in line)


@expect(SECTION, "a model that cannot be traced is refused in a sentence")
def untraceable(at: Place) -> str:
    at.write("mine.py", "from torch import nn\n\n\nclass Branches(nn.Module):\n    def forward(self, x):\n"
             "        return x if x.sum() > 0 else -x\n")  # fmt: skip
    return sentence(at.run("scaleinv-symmetry mine:Branches --input 4", code=2))


expect_of_test(SECTION, "which optimizers notice that my model was rescaled", "tests/test_any_model.py")
