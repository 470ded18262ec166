"""Promise: patterns are counted exactly, rescaling does not change them, and a probe of them changes nothing."""

import math
import time
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import KINDS, batch, draw
from safetensors.torch import load_file
from torch import nn

from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD
from scaleinv.patterns import measures
from scaleinv.patterns.bits import keys, pack, thesis_hash
from scaleinv.patterns.distance import distance, flip_rate, share, temperature
from scaleinv.patterns.histogram import Histogram
from scaleinv.patterns.record import Recorder
from scaleinv.probes.patterns import MEASURES, Patterns
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError, RunFailedError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import WeightSpace
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.training.cell import Cell
from scaleinv.training.chain import ChainEngine
from scaleinv.training.stack import Stack


def random_signs(channels, samples=200, members=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(members, channels, samples, generator=generator)


@pytest.mark.parametrize("channels", [1, 8, 9, 63, 64, 65, 130])
def test_packed_bits_by_hand(channels):
    z = random_signs(channels, 20)
    z[:, 0, :3] = torch.tensor([0.0, -0.0, 5e-324 if z.dtype == torch.float64 else 1e-45])
    words = pack(z)
    assert words.shape == (2, -(-channels // 64), 20)
    for member in range(2):
        for sample in range(20):
            whole = sum(int(w) % 2**64 << 64 * i for i, w in enumerate(words[member, :, sample]))
            assert whole == sum(1 << j for j in range(channels) if z[member, j, sample] > 0)


def test_keys_of_64_channels_are_exact():
    """All words that differ in a few bits, bit 63 among them: as many keys as words."""
    places = torch.tensor([0, 1, 7, 8, 31, 32, 33, 47, 55, 61, 62, 63])
    bits = (torch.arange(4096)[:, None] >> torch.arange(12)) & 1
    words = (bits << places).sum(1)[None, None]
    assert Histogram.of(keys(words)).total == Histogram.of(thesis_hash(words)).total == 4096


def test_the_sources_hash_loses_bit_63_of_two_words():
    words = torch.tensor([[0, 0], [-(2**63), -(2**63)]]).T[None]
    assert thesis_hash(words).unique().numel() == 1
    assert keys(words).unique().numel() == 2


@pytest.mark.parametrize(("size", "bins"), [(2**15, 1), (2**20, 1), (30000, 1672), (32749, 3971), (1048573, 4096)])
def test_tables_of_a_power_of_two_see_almost_nothing(size, bins):
    """4096 patterns of 64 channels that differ in channels 20 to 31."""
    hashes = thesis_hash((torch.arange(4096) << 20)[None, None])
    assert hashes.remainder(size).unique().numel() == bins
    if size in (32749, 1048573):
        assert Histogram.of(hashes).binned(size).total == bins
    else:
        with pytest.raises(ValueError, match=f"prime number of bins from 3, got {size}"):
            Histogram.of(hashes).binned(size)


def entropy(counts):
    p = np.array([*counts.values()]) / sum(counts.values())
    return -(p * np.log2(p)).sum()


@pytest.mark.parametrize("channels", [3, 6, 70])
def test_measures_by_counting(channels):
    """Also of two parts merged, and the bounds between the measures."""
    z, w = random_signs(channels, 300), random_signs(channels, 300, seed=1)
    z[:, :, 200:] = z[:, :, :100]
    w[:, :, 100:] = z[:, :, 100:]
    now, other = Histogram.of(keys(pack(z))), Histogram.of(keys(pack(w)))
    merged = Histogram.of(keys(pack(z[:, :, :100]))).merge(Histogram.of(keys(pack(z[:, :, 100:]))))
    for histogram in (now, merged):
        for member in range(2):
            a, b = (Counter(map(tuple, (t[member].T > 0).tolist())) for t in (z, w))
            assert histogram.total[member] == len(a)
            assert measures.max_frequency(histogram)[member] == max(a.values()) / 300
            assert measures.entropy(histogram)[member].item() == pytest.approx(entropy(a), rel=1e-12)
            relative = measures.relative_entropy(histogram, channels)[member].item()
            assert relative == pytest.approx(entropy(a) / min(channels, math.log2(300)))
            change = measures.net_change(histogram, other)[member].item()
            assert change == pytest.approx((len(a) - len(b)) / len(a))
            plain, weighted = (value[member].item() for value in measures.jaccard(histogram, other))
            assert plain == pytest.approx(len(a.keys() & b.keys()) / len(a.keys() | b.keys()))
            assert weighted == pytest.approx((a & b).total() / (a | b).total())
            variation = sum(abs(a[k] - b[k]) for k in a | b) / 600
            assert weighted == pytest.approx((1 - variation) / (1 + variation))
    low = -measures.max_frequency(now).log2()
    h, bound = measures.entropy(now), now.total.double().log2()
    assert ((low >= 0) & (low <= h + 1e-12) & (h <= bound + 1e-12) & (bound <= min(channels, math.log2(300)))).all()
    assert [t.tolist() for t in measures.jaccard(now, now)] == [[1, 1], [1, 1]]
    assert torch.equal(measures.jaccard(now, other)[1], measures.jaccard(other, now)[1])


def test_duplicates_and_single_samples():
    z = random_signs(5, 50)
    once, thrice = Histogram.of(keys(pack(z))), Histogram.of(keys(pack(z.repeat(1, 1, 3))))
    assert torch.equal(once.total, thrice.total)
    assert torch.equal(measures.max_frequency(once), measures.max_frequency(thrice))
    torch.testing.assert_close(measures.entropy(once), measures.entropy(thrice))
    torch.testing.assert_close(measures.relative_entropy(once, 5), measures.relative_entropy(thrice, 5))  # d is less
    single = Histogram.of(keys(pack(z[:, :, :1])))
    assert measures.entropy(single).tolist() == measures.relative_entropy(single, 5).tolist() == [0, 0]
    with pytest.raises(ValueError, match="equally many samples"):
        measures.jaccard(once, thrice)


def test_collisions_bias_every_measure_one_way():
    """Merged bins: entropy and total fall, the largest share and the weighted Jaccard index rise."""
    one, other = (Histogram.of(keys(pack(random_signs(9, 400, seed=seed)))) for seed in (0, 1))
    for size in (7, 31, 101, 1009):
        a, b = one.binned(size), other.binned(size)
        assert torch.equal(a.samples, one.samples)
        assert (a.total <= one.total).all()
        assert (a.total <= size).all()
        assert (measures.entropy(a) <= measures.entropy(one)).all()
        assert (measures.max_frequency(a) >= measures.max_frequency(one)).all()
        assert (measures.jaccard(a, b)[1] >= measures.jaccard(one, other)[1]).all()


def test_permuted_neurons_have_the_same_counts():
    z = random_signs(10, 400)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    one, other = (Histogram.of(keys(pack(t))) for t in (z, z[:, order]))
    for measure in (measures.max_frequency, measures.entropy):
        torch.testing.assert_close(measure(one), measure(other))
    assert torch.equal(one.total, other.total)
    assert (measures.jaccard(one, other)[1] < 0.5).all()  # it compares states of one run only


def words_of(network, weights, images):
    engine = ChainEngine(network)
    engine.logits(weights, images[None])
    return [pack(z) for z in engine.hidden()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_rescaling_changes_no_pattern(kind, dtype):
    """Theorem A of docs/patterns.md, exactly: powers of two; and float64 with any factors."""
    network = KINDS[kind]
    weights, images = draw(network, dtype=dtype), batch(network, 50, dtype)[0]
    before = words_of(network, weights, images)
    assert len(before) == len(network.chain) - 1
    for exact in (True, False)[: 1 + (dtype == torch.float64)]:
        scales = random_scales(network.graph, 1.0, exact, torch.Generator().manual_seed(3), dtype)
        after = words_of(network, rescale(network.graph, weights, scales), images)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_cells_without_biases_are_cones():
    network = mlp((5, 4, 6, 3))
    weights, images = draw(network), batch(network, 50)[0]
    for a, b in zip(words_of(network, weights, images), words_of(network, weights, images * 4.0), strict=True):
        assert torch.equal(a, b)


def test_distances():
    a, b, c = (pack(random_signs(11, 300, seed=seed)) for seed in range(3))
    b = torch.where(torch.arange(300) < 200, a, b)
    assert distance(a, a).tolist() == [0, 0]
    assert torch.equal(distance(a, b), distance(b, a))
    assert (distance(a, c) <= distance(a, b) + distance(b, c)).all()
    flips = torch.stack([(((a ^ c) >> j) & 1).double().mean((1, 2)) for j in range(11)])
    torch.testing.assert_close(flip_rate(a, c, 11), flips.mean(0))
    assert ((flips.amax(0) <= distance(a, c)) & (distance(a, c) <= flips.sum(0))).all()
    full = torch.tensor([-1, 0, 2**63 - 1])[None, None]
    assert flip_rate(full, torch.zeros_like(full), 64).item() == pytest.approx((64 + 63) / 192)
    shares = torch.tensor([0.0, 0.5, 8 / 9, 1.0], dtype=torch.float64)
    assert temperature(shares).tolist() == pytest.approx([0, 1, math.log2(9), math.inf])
    torch.testing.assert_close(share(temperature(shares)), shares)


def test_a_convolutional_pattern_is_the_channel_vector_at_one_position():
    """And a module that runs twice is two layers; pooling and in-place activations do not matter."""
    twice = nn.ReLU(inplace=True)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), twice, nn.MaxPool2d(2), nn.Conv2d(3, 4, 1), twice, nn.Flatten())
    model.append(nn.Linear(16, 5)).append(nn.PReLU())
    images = torch.randn(7, 2, 6, 6)
    with Recorder() as recorder, torch.no_grad():
        model(images)
    first, second, third = recorder.inputs
    assert [z.shape for z in recorder.inputs] == [(3, 7 * 16), (4, 7 * 4), (5, 7)]
    z = model[0](images)
    assert torch.equal(first.view(3, 7, 4, 4), z.transpose(0, 1))
    assert (third < 0).any()
    assert (second < 0).any()


DATA = load_dataset("digits").to("cpu", torch.float64)


def trained(probe, epochs=2, network=None, **options):
    cell = Cell(network or mlp((64, 5, 7, 10)), DATA, WeightSpace(), SGD(), {"optimizer.lr": [0.1, 0.02]}, [0, 1],
                batch_size=144, probes=[probe], epochs=epochs, **options)  # fmt: skip
    return Stack(cell, cell.members)


@pytest.mark.parametrize("every", [0, 4])
def test_the_probe_counts_what_the_weights_say(every):
    """Columns by hand from the weights at each look, also after a resume; all layers together are one more row."""
    stack = trained(Patterns(every=every, images=90, layers=[2], end=True))
    assert stack.columns == tuple(f"patterns_{layer}_{name}" for layer in ("2", "global") for name in MEASURES)
    images = DATA.normalise(DATA.train.images[:90])

    def now(layers):
        words = words_of(stack.scene.network, stack.weights, images)
        rows = torch.cat([words[layer] for layer in layers], 1)
        return [[tuple(sample) for sample in member.T.tolist()] for member in rows]

    rows = {"2": [1], "global": [0, 1]}
    looks = {name: [now(layers)] for name, layers in rows.items()}
    probed = stack.result(None).probed
    for epoch in (1, 2):
        for step in range(1, 11):
            data = slice(144 * (step - 1), 144 * step)
            images_now = DATA.normalise(DATA.train.images[data])[None].expand(2, -1, -1)
            targets = stack.cell.loss.targets(DATA.train.labels[None, data], 10, torch.float64).expand(2, -1, -1)
            stack.step(images_now, targets)
            stack._look(step + 10 * (epoch - 1))
            if every and (step + 10 * (epoch - 1)) % every == 0:
                for name, layers in rows.items():
                    looks[name].append(now(layers))
        if not every:
            for name, layers in rows.items():
                looks[name].append(now(layers))
        probed = stack.result(None).probed
        again = trained(Patterns(every=every, images=90, layers=[2], end=True))
        again.load({name: t.clone() for name, t in stack.tensors().items()})
        stack = again
    arrays = stack.arrays()
    assert arrays.pop("patterns/steps")[0].tolist() == ([0, 4, 8, 12, 16, 20] if every else [0, 10, 20])
    for column, name in enumerate(rows):
        for member in range(4):
            counts = [Counter(look[member]) for look in looks[name]]
            series = {measure: values[member, :, column].tolist() for measure, values in arrays.items()}
            assert series["patterns/total"] == [len(c) for c in counts]
            assert series["patterns/entropy"] == pytest.approx([entropy(c) for c in counts])
            for other, which in (("start", 0), ("end", -1)):
                wanted = [(c & counts[which]).total() / (c | counts[which]).total() for c in counts]
                assert series[f"patterns/weighted_jaccard_{other}"] == pytest.approx(wanted)
            pairs = list(zip(counts, [counts[0], *counts], strict=False))
            wanted = [(a & b).total() / (a | b).total() for a, b in pairs]
            assert series["patterns/weighted_jaccard_last"] == pytest.approx(wanted)
            assert probed[f"patterns_{name}_total"][member] == len(counts[-1])
    assert arrays["patterns/total"][:, -1, 1].ge(arrays["patterns/total"][:, -1, 0]).all()


BASE = ["network.hidden=[6,6]", "epochs=2", "optimizer.lr=[0.1,1e-3]", "progress=false", "threads=1"]
PROBE = "{name: patterns, every: 7, images: 100, end: true}"


def test_it_changes_no_byte_and_no_kill_changes_it(tmp_path, monkeypatch):
    def configured(name, *extra):
        return compose([*BASE, *extra, "checkpoint_seconds=0", f"results={tmp_path / name}"])

    train_epoch = Stack.train_epoch

    def dying(self, epoch, after_step=None):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, after_step)

    probe = f"probes=[{PROBE}]"
    results = {"plain": configured("plain"), "probed": configured("a", probe), "killed": configured("b", probe)}
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "train_epoch", dying)
        with pytest.raises(KeyboardInterrupt):
            run(results["killed"])
    for config in results.values():
        run(config)
    results = {name: config.folder for name, config in results.items()}
    plain, probed, killed = ((results[n] / "metrics.csv").read_text().splitlines() for n in results)
    assert [line.rsplit(",", 3 * len(MEASURES))[0] for line in probed] == plain
    assert probed == killed
    arrays = [load_file(results[name] / "arrays.safetensors") for name in ("probed", "killed")]
    assert all(torch.equal(arrays[0][name].nan_to_num(), arrays[1][name].nan_to_num()) for name in arrays[0])
    assert load_records(results["probed"])["patterns_global_total"].between(2, 100).all()


def test_not_a_number_ends_the_run_or_leaves_numbers_out(tmp_path):
    base = [*BASE, "optimizer.lr=[1e200,0.1]", "dtype=float64", f"results={tmp_path}", "network.bias=true"]
    with pytest.raises(RunFailedError, match=r"at step 7: an input of activation 1 is NaN \(members 0\)"):
        run(compose([*base, "probes=[{name: patterns, every: 7, images: 10}]"]))
    config = compose([*base, "probes=[{name: patterns, images: 10, nans: empty}]"])
    run(config)
    records = load_records(config.folder).set_index(["lr", "epoch"])["patterns_1_total"]
    assert records[1e200].isna().tolist() == [False, True, True]
    assert records[0.1].notna().all()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["probes=[{name: patterns, images: 2000}]"], "patterns of 2000 images need as many, there are 1438"),
        (["probes=[{name: patterns, layers: [1,3]}]"], "there is no activation layer 3: they are numbered from 1 to 2"),
        (["probes=[patterns]", "network.hidden=[]"], "the network has no activation, so it has no activation patterns"),
        (["probes=[{name: patterns, table: 32768}]"], "table must have a prime number of bins from 3, got 32768"),
        (["probes=[{name: patterns, nans: zero}]"], "nans must be raise or empty, got zero"),
        (["probes=[{name: patterns, images: 0}]"], "images must be at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(overrides, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run(compose([*BASE, *overrides, f"results={tmp_path / 'none'}"]))
    assert not (tmp_path / "none").exists()


def test_counting_costs_less_than_evaluating_twice():
    """Of the network for MNIST, at a fifth of the images and a quarter of the members; the best of several turns."""
    torch.manual_seed(0)
    network = mlp((784, 64, 64, 64, 64, 10))
    weights, images = network.init(range(4)), torch.rand(2000, 784)
    engine = ChainEngine(network)

    def evaluate():
        for part in images.split(500):
            engine.logits(weights, part[None])

    def count():
        words = []
        for part in images.split(500):
            engine.logits(weights, part[None])
            words.append([pack(z) for z in engine.hidden()])
        for layer in zip(*words, strict=True):
            histogram = Histogram.of(keys(torch.cat(layer, 2)))
            assert (measures.entropy(histogram) > 0).all()

    best = {evaluate: math.inf, count: math.inf}
    for _ in range(12):
        for function in best:
            began = time.perf_counter()
            function()
            best[function] = min(best[function], time.perf_counter() - began)
    assert best[count] < 2 * best[evaluate]
