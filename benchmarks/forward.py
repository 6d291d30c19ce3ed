"""How near do the forward passes come to what the CPU can do?

For each backbone, in bf16 and fp32, with tiled attention and with that of its library, in bf16 also with linear layers
that are not packed (``unpacked``): milliseconds a clip, GFLOP/s by the counted multiply-adds, and their share of a
product of two 4096 × 4096 matrices in bf16, which is timed right before every pass, on the same threads. Clips are
noise in memory, weights are made up. Prints medians, and the spread from the slowest to the fastest; ends with 1 when
VideoMAE-B stays below its share, or where tiles or packed layers were chosen and are slower.

    python benchmarks/forward.py [--backbone videomae_base mvit_v2_s] [--repeats 5] [--batch-size 4] [--compile]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from unittest.mock import patch

import torch
from torch import nn

from fouls.cache.spec import Precision
from fouls.errors import BackboneError
from fouls.pipeline.backbones import backbone as backbone_module
from fouls.pipeline.backbones.attention import AttentionKind
from fouls.pipeline.backbones.backbone import DTYPES, Backbone
from fouls.pipeline.backbones.counting import count
from fouls.pipeline.backbones.loading import load_backbone, load_blank
from fouls.pipeline.backbones.packed_linear import packing_pays
from fouls.processor import cpu_multiplies_bf16

BACKBONES = ["videomae_base", "mvit_v2_s", "swin3d_t", "r3d_18", "movinet_a2"]
PRODUCT_SIZE = 4096
LEAST_SHARE = {("videomae_base", "bf16"): 0.65}
"""Of the product, by the attention that is chosen."""
PRECISIONS: list[Precision] = ["bf16", "fp32"]


@dataclass(kw_only=True)
class Way:
    """A backbone run in one way."""

    name: str
    backbone: Backbone
    chosen: bool
    """Whether it is the way that is taken when none is asked for."""
    seconds: list[float] = field(default_factory=list)
    """Of one clip."""
    shares: list[float] = field(default_factory=list)
    """Of the product that was timed right before."""


def seconds_of(work: Callable[[], object]) -> float:
    """How long some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ways(name: str, precision: Precision, compiled: bool) -> list[Way]:
    """The backbone as it is chosen, with the other attention where it has one, with plain layers, and compiled."""
    chosen = load_backbone(name, weights="random:0", precision=precision)
    found = [Way(name=chosen.attention, backbone=chosen, chosen=True)]
    other: AttentionKind = "library" if chosen.attention == "tiled" else "tiled"
    try:
        backbone = load_backbone(name, weights="random:0", precision=precision, attention=other)
        found.append(Way(name=other, backbone=backbone, chosen=False))
    except BackboneError:  # no attention that could be tiled
        found[0].name = "-"
    if packing_pays(chosen.device, DTYPES[precision]) and has_linears(name):
        with patch.object(backbone_module, "packing_pays", return_value=False):
            backbone = load_backbone(name, weights="random:0", precision=precision)
        found.append(Way(name="unpacked", backbone=backbone, chosen=False))
    if compiled:
        backbone = load_backbone(name, weights="random:0", precision=precision, compile=True)
        found.append(Way(name="compiled", backbone=backbone, chosen=False))
    return found


def has_linears(name: str) -> bool:
    """Whether it has linear layers besides its classifier."""
    net = load_blank(name)._net
    children = [child for key, child in net.module.named_children() if key not in net.heads]
    return any(isinstance(module, nn.Linear) for child in children for module in child.modules())


def measure(found: list[Way], flops: float, batch_size: int, repeats: int, product: Callable[[], object]) -> None:
    """Run all ways in turn, as often as is asked for, each right after a product."""
    first = found[0].backbone
    size = first.preprocessing.crop
    noise = torch.randn(batch_size, 3, first.num_frames, size, size, generator=torch.Generator().manual_seed(0))
    clips = noise.to(DTYPES[first.precision])
    for way in found:
        way.backbone.features(clips)
    for _ in range(repeats):
        for way in found:
            peak = 2 * PRODUCT_SIZE**3 / seconds_of(product)
            seconds = seconds_of(lambda: way.backbone.features(clips)) / batch_size  # noqa: B023
            way.seconds.append(seconds)
            way.shares.append(flops / seconds / peak)


def report(name: str, precision: Precision, found: list[Way], flops: float) -> list[str]:
    """Print a line a way; return what falls short."""
    chosen = found[0]
    for way in found:
        seconds, share = statistics.median(way.seconds), statistics.median(way.shares)
        against = statistics.median(way.seconds[i] / chosen.seconds[i] for i in range(len(way.seconds)))
        print(
            f"{name:14s} {precision:4s} {way.name:8s} {'*' if way.chosen else ' '} {1000 * seconds:8.0f} "
            f"({1000 * max(way.seconds):.0f} … {1000 * min(way.seconds):.0f}) {flops / seconds / 1e9:8.0f} "
            f"{share:7.0%} {against:7.2f}",
            flush=True,
        )
        if way.backbone.compile_seconds is not None:
            print(f"{'':14s} compiling took {way.backbone.compile_seconds:.0f} s")
    least, share = LEAST_SHARE.get((name, precision), 0.0), statistics.median(chosen.shares)
    faults = [] if share >= least else [f"{name} in {precision} reaches {share:.0%} of the product; wanted {least:.0%}"]
    faults += [
        f"{name} in {precision}: {way.name} is faster than what was chosen"
        for way in found[1:]
        if (chosen.name == "tiled" or way.name == "unpacked")
        and statistics.median(way.seconds) < statistics.median(chosen.seconds)
    ]
    return faults


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", nargs="+", default=BACKBONES, metavar="NAME")
    parser.add_argument("--precision", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    options = parser.parse_args()
    if not cpu_multiplies_bf16():
        raise SystemExit("this CPU does not multiply bf16 natively: there is no peak to compare with")
    matrices = torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE).bfloat16()
    print(f"{torch.cpu.get_capabilities()['cpu_name']}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    product_seconds = [seconds_of(lambda: matrices[0] @ matrices[1]) for _ in range(options.repeats + 1)][1:]
    print(
        f"product of {PRODUCT_SIZE}² in bf16: {2e-9 * PRODUCT_SIZE**3 / statistics.median(product_seconds):.0f} GFLOP/s"
    )
    print("backbone                attention  ms a clip (slowest … fastest)  GFLOP/s  share  time by that chosen (*)")
    faults = []
    for name in options.backbone:
        flops = 2.0 * count(load_blank(name)).multiply_adds
        for precision in options.precision:
            found = ways(name, precision, options.compile)
            measure(found, flops, options.batch_size, options.repeats, lambda: matrices[0] @ matrices[1])
            faults += report(name, precision, found, flops)
    for fault in faults:
        print(fault, file=sys.stderr)
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
