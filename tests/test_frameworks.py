"""Promise: spaces work where models of one's own live: Lightning, Accelerate, torch.compile, averaged weights."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from scaleinv.spaces import CycleSpace, GSpace
from scaleinv.wrappers import SpaceModule, SpaceOptimizer

SPACE = GSpace("maxprod", fix="keep", normalise="balanced")


def made():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()


def batches(steps=4):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(steps, 8, 6, generator=generator, dtype=torch.float64)
    return list(zip(images, torch.randint(3, (steps, 8), generator=generator), strict=True))


def train(model, optimizer, forward=None, clip=None):
    for images, labels in batches():
        optimizer.zero_grad()
        cross_entropy((model if forward is None else forward)(images), labels).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return model


def assert_same(one, other):
    torch.testing.assert_close(dict(one.named_parameters()), dict(other.named_parameters()), rtol=1e-12, atol=1e-14)


def by_hand(clip=None):
    model = made()
    return train(model, SpaceOptimizer(model, SPACE, torch.optim.Adam, lr=0.01), clip=clip)


def test_compiled_models():
    """The optimizer knows the model, the loop calls the compiled one; a module of coordinates can be compiled too."""
    model = made()
    optimizer = SpaceOptimizer(model, SPACE, torch.optim.Adam, lr=0.01)
    assert_same(train(model, optimizer, torch.compile(model, backend="eager")), by_hand())
    one, other = (SpaceModule(made(), CycleSpace()) for _ in range(2))
    train(one, torch.optim.SGD(one.parameters(), lr=0.1))
    train(other, torch.optim.SGD(other.parameters(), lr=0.1), torch.compile(other, backend="eager"))
    assert_same(one.write_back(), other.write_back())


def test_averaged_weights():
    """The average of a model's weights beside its optimizer; and the average of coordinates, which is another."""
    model = made()
    optimizer, average = SpaceOptimizer(model, SPACE, torch.optim.SGD, lr=0.1), AveragedModel(model)
    seen = []
    for images, labels in batches():
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
        average.update_parameters(model)
        seen.append(model[0].weight.detach().clone())
    torch.testing.assert_close(average.module[0].weight, torch.stack(seen).mean(0))
    module = SpaceModule(made(), CycleSpace())
    average = AveragedModel(module)
    start = copy.deepcopy(module)
    train(module, torch.optim.SGD(module.parameters(), lr=0.1))
    average.update_parameters(start)
    average.update_parameters(module)
    images = batches()[0][0]
    assert_same(average.module, average_of(start, module))
    torch.testing.assert_close(average(images), average.module.write_back()(images))


def average_of(first, second):
    both = copy.deepcopy(first)
    with torch.no_grad():
        for p, a, b in zip(both.parameters(), first.parameters(), second.parameters(), strict=True):
            p.copy_((a + b) / 2)
    return both


def test_parameter_groups_of_coordinates():
    """No weight decay on biases, as people write it."""
    module = SpaceModule(made(), CycleSpace())
    biases = [p for name, p in module.named_parameters() if name.endswith("bias")]
    rest = [p for name, p in module.named_parameters() if not name.endswith("bias")]
    assert len(biases) == len(rest) == 3
    groups = [{"params": rest, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    before = [b.detach().clone() for b in biases]
    optimizer.zero_grad()
    sum(0.0 * p.sum() for p in module.parameters()).backward()
    optimizer.step()
    assert all(torch.equal(b, c) for b, c in zip(biases, before, strict=True))


def test_parameter_groups_of_an_optimizer():
    """Each group's options hold for its tensors; two groups with the same options are one; copies keep them."""
    wanted = by_hand()
    model = made()
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    train(model, SpaceOptimizer(model, SPACE, torch.optim.Adam, groups=[{"params": biases}], lr=0.01))
    assert_same(model, wanted)
    model = made()
    groups = [{"params": model[0].bias, "lr": 0.0}, {"params": [model[2].bias], "lr": 0.02}]
    optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.SGD, groups=groups, lr=0.01)
    assert [(group["lr"], len(group["params"])) for group in optimizer.param_groups] == [(0.0, 1), (0.02, 1), (0.01, 4)]
    both = copy.deepcopy((model, optimizer))
    before = {name: c.clone() for name, c in optimizer.chart.to_coords(dict(model.named_parameters())).items()}
    for one, its in ((model, optimizer), both):
        train(one, its)
    assert_same(both[0], model)
    after = optimizer.chart.to_coords(dict(model.named_parameters()))
    torch.testing.assert_close(after["0.bias"], before["0.bias"])
    assert not torch.allclose(after["2.bias"], before["2.bias"])
    with pytest.raises(ValueError, match="what is no parameter"):
        SpaceOptimizer(model, CycleSpace(), torch.optim.SGD, groups=[{"params": [torch.zeros(2)]}], lr=0.01)


def test_accelerate(tmp_path):
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    accelerator = accelerate.Accelerator(cpu=True)
    model = made()
    model, optimizer = accelerator.prepare(model, SpaceOptimizer(model, SPACE, torch.optim.Adam, lr=0.01))
    for images, labels in batches():
        optimizer.zero_grad()
        accelerator.backward(cross_entropy(model(images), labels))
        accelerator.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    assert_same(model, by_hand(clip=0.1))
    accelerator.save_state(tmp_path)
    weights = copy.deepcopy(model.state_dict())
    train(model, optimizer)
    accelerator.load_state(tmp_path)
    assert all(torch.equal(w, weights[name]) for name, w in model.state_dict().items())
    train(model, optimizer)


@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path):
    """Fit, clip, save and go on: the weights are those of an ordinary loop."""
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = made()

        def training_step(self, batch, number):
            return cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return SpaceOptimizer(self.model, SPACE, torch.optim.Adam, lr=0.01)

    def fit(module, epochs, checkpoint=None):
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            gradient_clip_val=0.1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, torch.utils.data.DataLoader(batches(), batch_size=None), ckpt_path=checkpoint)
        return trainer

    once = Lit()
    trainer = fit(once, 1)
    assert_same(once.model, by_hand(clip=0.1))
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    twice, again = Lit(), Lit()
    fit(twice, 2)
    fit(again, 2, tmp_path / "one.ckpt")
    assert_same(again.model, twice.model)
