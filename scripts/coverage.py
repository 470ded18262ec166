"""Describe published models with random weights and measure how much a rescaling changes their functions.

    python scripts/coverage.py --rows results/coverage.csv [--page docs/coverage.md] [--only resnet18 swin_t ...]

For every model: whether it is described, the CPU seconds of a symmetry report, K and m, what anchors how many classes,
and the largest change of the outputs when all K classes are rescaled by random powers of two, in evaluation and in
training mode, relative to the largest output. Powers of two are exact in floating point, so the change is 0 if the
description is right. Rows are added as they are measured, and those that are there are not measured again. Models of
timm are left out where it is not installed.

A detector does not take one tensor. Its network is described: everything but the choice of boxes (``Detector``). RAFT's
two images are one tensor of six channels (``Pairs``).
"""

import argparse
import csv
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree
from torchvision.ops import roi_align

from scaleinv.runs.environment import describe as machine
from scaleinv.runs.folder import write_atomically
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.trace import describe

COLUMNS = (
    *("model", "family", "of_85", "input", "described", "seconds", "invariances", "parameters", "anchored"),
    *("rescaled_tensors", "change_evaluation", "change_training"),
)
# The models of torchvision 0.13 on which the best pruning tracer is tested, besides classification.
SEGMENTATION = (
    *("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101", "deeplabv3_mobilenet_v3_large"),
    "lraspp_mobilenet_v3_large",
)
DETECTION = (
    *("ssdlite320_mobilenet_v3_large", "ssd300_vgg16", "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"),
    *("fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_fpn", "fcos_resnet50_fpn"),
    *("keypointrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn_v2"),
)
# Classification models that are newer than that list.
NEWER = ("maxvit_t", "swin_v2", "resnext101_64x4d", "regnet_x")
TIMM = (
    *("resnet26d", "resnetv2_50", "seresnet33ts", "ecaresnet26t", "skresnet18", "res2net50d", "resnest14d"),
    *("hrnet_w18_small", "dla34", "ese_vovnet19b_dw", "mobilenetv4_conv_small", "efficientnet_lite0", "mixnet_s"),
    *("rexnet_100", "ghostnet_100", "repvgg_a0", "cspdarknet53", "xception41", "inception_v4", "nf_regnet_b0"),
)


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        name: its name.
        family: library and task.
        make: makes it, with random weights.
        inputs: shape of one input.
        of_85: whether it is one of the 85 models.
    """

    name: str
    family: str
    make: Callable[[], nn.Module]
    inputs: tuple[int, ...]
    of_85: bool


class Detector(nn.Module):
    """The network of a detector: pyramid, proposals or head, and for two stages the heads on fixed boxes."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the detector."""
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return all that the choice of boxes would read."""
        pyramid = self.model.backbone(images)
        levels = list(pyramid.values())
        if not hasattr(self.model, "rpn"):
            return list(self.model.head(levels).values())
        outputs = [t for listed in self.model.rpn.head(levels) for t in listed]
        heads = self.model.roi_heads
        boxes = images.new_tensor([[0.0, 4.0, 4.0, 40.0, 48.0], [0.0, 0.0, 8.0, 24.0, 24.0]])
        outputs += heads.box_predictor(heads.box_head(roi_align(levels[0], boxes, 7, 0.25, 2)))
        for kind in ("mask", "keypoint"):
            if getattr(heads, f"{kind}_head", None) is not None:
                head, predictor = getattr(heads, f"{kind}_head"), getattr(heads, f"{kind}_predictor")
                outputs.append(predictor(head(roi_align(levels[0], boxes, 14, 0.25, 2))))
        return outputs


class Pairs(nn.Module):
    """A model of two images as one of six channels."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return what the model returns of the two halves of the channels."""
        return self.model(*images.chunk(2, 1))


def cases() -> Iterator[Case]:
    """List all models that are installed."""
    models = torchvision.models
    for name in models.list_models(module=models):
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        size = 224 if name.startswith(("vit", "maxvit")) else 299 if name == "inception_v3" else 64
        make = partial(models.get_model, name, weights=None, **options)
        yield Case(name, "torchvision classification", make, (3, size, size), not name.startswith(NEWER))
    for name in SEGMENTATION:
        make = partial(models.get_model, name, weights=None, weights_backbone=None)
        yield Case(name, "torchvision segmentation", make, (3, 64, 64), True)
    for name in DETECTION:
        make = partial(_detector, name)
        size = 320 if name.startswith("ssd") else 64
        yield Case(name, "torchvision detection", make, (3, size, size), True)
    yield Case(
        "raft_large", "torchvision optical flow", lambda: Pairs(models.get_model("raft_large")), (6, 128, 128), True
    )
    try:
        import timm
    except ImportError:
        return
    for name in TIMM:
        size = 96 if name == "inception_v4" else 64  # the least that it takes
        yield Case(name, "timm", partial(timm.create_model, name, pretrained=False), (3, size, size), False)


def _detector(name: str) -> nn.Module:
    return Detector(torchvision.models.get_model(name, weights=None, weights_backbone=None))


def measure(case: Case) -> dict[str, object]:
    """Return the row of one model."""
    torch.manual_seed(0)
    model = case.make()
    _make_generic(model)
    images = torch.randn(2, *case.inputs)
    row: dict[str, object] = {"model": case.name, "family": case.family, "of_85": case.of_85}
    row["input"] = "x".join(map(str, case.inputs))
    start = time.process_time()
    try:
        network = describe(model, images)
    except UnsupportedNetworkError as error:
        return row | {"described": str(error)}
    row |= {"described": True, "seconds": f"{time.process_time() - start:.1f}"}
    anchored: Counter[str] = Counter()
    for anchor in network.anchors:
        anchored[anchor.operation] += anchor.first
    row |= {"invariances": network.graph.hidden, "parameters": network.graph.parameters}
    row["anchored"] = " ".join(f"{operation}:{classes}" for operation, classes in anchored.most_common() if classes)
    generator = torch.Generator().manual_seed(0)
    scales = random_scales(network.graph, 1.0, powers_of_two=True, generator=generator, dtype=torch.float32)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    rescaled = {name: rescale(network.graph, {name: w}, scales)[name] for name, w in weights.items()}
    row["rescaled_tensors"] = sum(not torch.equal(w, rescaled[name]) for name, w in weights.items())
    for mode in ("training", "evaluation"):  # training first, for running statistics of these images
        before, after = (_outputs(model, w, images, mode == "training") for w in (weights, rescaled))
        change = max(float((b - a).abs().max()) for b, a in zip(before, after, strict=True))
        row[f"change_{mode}"] = change / max(float(b.abs().max()) for b in before)
        _settle_statistics(model, images)
    return row


def _make_generic(model: nn.Module) -> None:
    """Draw the parameters that start at zero: what a network multiplies by zero is not seen in its outputs."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.05)


def _settle_statistics(model: nn.Module, images: Tensor) -> None:
    """Set running statistics to those of these images, so that evaluation mode computes numbers of ordinary size."""
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    before = [part.momentum for part in norms]
    for part in norms:
        part.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(images)
    for part, momentum in zip(norms, before, strict=True):
        part.momentum = momentum


def _outputs(model: nn.Module, weights: dict[str, Tensor], images: Tensor, training: bool) -> list[Tensor]:
    """Compute all outputs with these weights; what drops out is the same every time."""
    model.train(training)
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    torch.manual_seed(1)
    with torch.no_grad():
        return [t for t in pytree.tree_leaves(functional_call(model, {**weights, **buffers}, images)) if t.numel()]


def page(rows: list[dict[str, str]], command: str) -> str:
    """Return the page with the table."""
    here = machine(torch.device("cpu"))
    known = [row for row in rows if row["of_85"] == "True"]
    good, every = sum(map(_is_exact, known)), sum(map(_is_exact, rows))
    lines = [
        "# Coverage: which published models are described\n",
        f"`{command}`: {here['device_name']}, {here['threads']} thread(s), torch {torch.__version__}, torchvision"
        f" {torchvision.__version__}. Random weights; parameters that start at zero are drawn.\n",
        f"Described, and unchanged by random powers of two in both modes: **{good} of the {len(known)}** models of"
        f" torchvision 0.13 of which the best pruning tracer handles 77 of 85; {every} of all {len(rows)} here.\n",
        "Change: largest change of an output relative to the largest output. Anchored: classes by the operation that is"
        " the first to anchor them. Of detectors the network without the choice of boxes is described.\n",
        "| model | family | CPU s | K | m | anchored by | evaluation | training |",
        "| - | - | - | - | - | - | - | - |",
    ]
    for row in rows:
        cells = [row["seconds"], row["invariances"], row["parameters"], row["anchored"]]
        if row["described"] != "True":
            cells = ["", "", "", f"refused: {row['described']}"]
        changes = [f"{float(row[f'change_{m}']):g}" if row[f"change_{m}"] else "" for m in ("evaluation", "training")]
        lines.append(f"| {' | '.join([row['model'], row['family'], *cells, *changes])} |")
    return "\n".join(lines) + "\n"


def _is_exact(row: dict[str, str]) -> bool:
    """Say whether a model is described, and its function the same to the last bit."""
    return row["described"] == "True" and float(row["change_evaluation"]) == float(row["change_training"]) == 0


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=Path, required=True, help="CSV; models that it holds are not measured again")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--only", nargs="+", help="measure these models only")
    options = parser.parse_args()
    done = set()
    if options.rows.exists():
        done = {row["model"] for row in csv.DictReader(options.rows.open())}
    else:
        options.rows.parent.mkdir(parents=True, exist_ok=True)
        options.rows.write_text(",".join(COLUMNS) + "\n")
    for case in cases():
        if case.name in done or (options.only and case.name not in options.only):
            continue
        row = measure(case)
        with options.rows.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        print(row, flush=True)
        gc.collect()
    if options.page:
        rows = list(csv.DictReader(options.rows.open()))
        write_atomically(options.page, page(rows, f"python scripts/coverage.py --rows {options.rows}").encode())


if __name__ == "__main__":
    sys.exit(main())
