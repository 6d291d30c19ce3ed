"""The backbones that there are: name → builder and the facts that can be told without loading anything.

To add one: write a module with a builder (see ``docs/backbones.md``) and add its line here. Nothing heavy is imported
before a backbone is built.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from fouls.errors import BackboneError

if TYPE_CHECKING:
    from fouls.pipeline.backbones.backbone import Net
    from fouls.pipeline.backbones.weights import WeightsSource


HF_PREFIX = "hf:"
"""Before a hub id or a folder: any video classifier of transformers."""


@dataclass(frozen=True, kw_only=True)
class BackboneEntry:
    """What is known of a backbone before its weights are read; ``None`` where only the checkpoint tells."""

    build: str
    """The builder, ``module:function``; takes a :class:`BuildRequest`, returns a ``Net``."""
    dim: int | None
    """Of a feature vector."""
    num_frames: int | None
    """Frames a clip."""
    size: int | None
    """Height and width of the input."""
    pools: dict[str, tuple[int, ...]]
    """Name → shape of a row's feature; the first is the default. Empty where only the checkpoint tells."""
    weights: str | None = None
    """The published weights that are used where none are named; ``None`` where none are published."""
    sources: Mapping[str, str | None] = field(default_factory=dict)
    """What ``--pretrained-source`` names: kinetics | imagenet → published weights; ``None``: to be given as a file."""
    file_hint: str | None = None
    """Which file to give, where no published weights can be downloaded."""
    licence: str | None = None
    """Of the weights; ``None`` where their publisher states none."""
    alias_of: str | None = None
    """The name that this is short for."""


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What a builder needs to know."""

    name: str
    """A key of :data:`BACKBONES`."""
    entry: BackboneEntry
    source: WeightsSource
    num_frames: int | None
    """Frames a clip, where the user wants another number than the backbone's own."""

    def any_num_frames(self) -> int:
        """Frames a clip of a backbone that takes any number: the user's, or its own.

        Raises:
            BackboneError: less than one.
        """
        chosen = self.entry.num_frames if self.num_frames is None else self.num_frames
        if chosen is None or chosen < 1:
            raise BackboneError(f"{self.name} takes 1 frame a clip or more, not {chosen}")
        return chosen


def _videomae(size: str, dim: int, alias_of: str | None = None) -> BackboneEntry:
    hub_id = f"MCG-NJU/videomae-{size}-finetuned-kinetics"
    return BackboneEntry(
        build="fouls.pipeline.backbones.videomae:build",
        dim=dim,
        num_frames=16,
        size=224,
        pools={"mean": (dim,), "fc_norm": (dim,), "temporal": (8, dim), "tokens": (1568, dim), "logits": (400,)},
        weights=hub_id,
        sources={"kinetics": hub_id},
        licence="CC BY-NC 4.0",
        alias_of=alias_of,
    )


_VIDEOMAE_GIANT = BackboneEntry(
    build="fouls.pipeline.backbones.videomae:build",
    dim=1408,
    num_frames=16,
    size=224,
    pools={"mean": (1408,), "fc_norm": (1408,), "temporal": (8, 1408), "tokens": (2048, 1408), "logits": (400,)},
    sources={"kinetics": None},
    file_hint="VideoMAEv2's vit_g_hybrid_*.pth",
)


def _mvit(
    num_frames: int = 16,
    weights: str | None = "KINETICS400_V1",
    file_hint: str | None = None,
    alias_of: str | None = None,
) -> BackboneEntry:
    return BackboneEntry(
        build="fouls.pipeline.backbones.mvit:build",
        dim=768,
        num_frames=num_frames,
        size=224,
        pools={"cls": (768,), "mean": (768,), "temporal": (num_frames // 2, 768), "logits": (400,)},
        weights=weights,
        sources={"kinetics": weights},
        file_hint=file_hint,
        alias_of=alias_of,
    )


def _swin3d(dim: int, imagenet: str | None = None) -> BackboneEntry:
    """``imagenet``: weights that began with the larger ImageNet and are the stronger for it."""
    return BackboneEntry(
        build="fouls.pipeline.backbones.swin:build",
        dim=dim,
        num_frames=32,
        size=224,
        pools={"mean": (dim,), "temporal": (16, dim), "logits": (400,)},
        weights=imagenet or "KINETICS400_V1",
        sources={"kinetics": "KINETICS400_V1"} | ({"imagenet": imagenet} if imagenet else {}),
    )


def _convolutional(function: str, dim: int, num_frames: int, size: int, num_steps: int) -> BackboneEntry:
    """torchvision's nets of convolutions; any number of frames."""
    return BackboneEntry(
        build=f"fouls.pipeline.backbones.video_resnet:{function}",
        dim=dim,
        num_frames=num_frames,
        size=size,
        pools={"mean": (dim,), "temporal": (num_steps, dim), "logits": (400,)},
        weights="KINETICS400_V1",
        sources={"kinetics": "KINETICS400_V1"},
    )


def _movinet(size: str, dim: int, num_frames: int, pixels: int, kind: str = "") -> BackboneEntry:
    published = f"model{size.upper()}{kind}_statedict_v3"
    return BackboneEntry(
        build="fouls.pipeline.backbones.movinet.builder:build",
        dim=dim,
        num_frames=num_frames,
        size=pixels,
        pools={"pooled": (dim,), "hidden": (2048,), "temporal": (num_frames, dim), "logits": (600,)},
        weights=published,
        sources={"kinetics": published},
        licence="MIT",
    )


_MOVINETS = {
    "movinet_a0": _movinet("a0", 480, 50, 172),
    "movinet_a1": _movinet("a1", 600, 50, 172),
    "movinet_a2": _movinet("a2", 640, 50, 224),
    "movinet_a3": _movinet("a3", 744, 120, 256),
    "movinet_a4": _movinet("a4", 856, 80, 290),
    "movinet_a5": _movinet("a5", 992, 120, 320),
    "movinet_a0_stream": _movinet("a0", 480, 50, 172, "_stream"),
    "movinet_a1_stream": _movinet("a1", 600, 50, 172, "_stream"),
    "movinet_a2_stream": _movinet("a2", 640, 50, 224, "_stream"),
    # the gate of the TensorFlow graph instead of the port's; it decides the features, so that it belongs to the name
    "movinet_a0_stream_relu6": _movinet("a0", 480, 50, 172, "_stream"),
    "movinet_a1_stream_relu6": _movinet("a1", 600, 50, 172, "_stream"),
    "movinet_a2_stream_relu6": _movinet("a2", 640, 50, 224, "_stream"),
}


def _image_net(module: str, dim: int, weights: str, alias_of: str | None = None) -> BackboneEntry:
    """A net of single images; any number of frames."""
    return BackboneEntry(
        build=f"fouls.pipeline.backbones.{module}:build",
        dim=dim,
        num_frames=16,
        size=224,
        pools={"mean": (dim,), "temporal": (16, dim)},
        weights=weights,
        sources={"imagenet": weights} if module == "vit" else {},
        licence="Apache 2.0",
        alias_of=alias_of,
    )


_DINOV2 = "facebook/dinov2"
_AUGREG = "timm/vit_base_patch16_224.augreg_in21k_ft_in1k"


def _vjepa2(dim: int, checkpoint: str, size: int = 256, alias_of: str | None = None) -> BackboneEntry:
    """Any even number of frames."""
    return BackboneEntry(
        build="fouls.pipeline.backbones.vjepa2:build",
        dim=dim,
        num_frames=64,
        size=size,
        pools={"mean": (dim,), "temporal": (32, dim), "tokens": (32 * (size // 16) ** 2, dim)},
        weights=f"facebook/vjepa2-{checkpoint}",
        licence="Apache 2.0" if "vitg" in checkpoint else "MIT",
        alias_of=alias_of,
    )


def _videoprism(dim: int, num_frames: int, checkpoint: str, alias_of: str | None = None) -> BackboneEntry:
    return BackboneEntry(
        build="fouls.pipeline.backbones.videoprism:build",
        dim=dim,
        num_frames=num_frames,
        size=288,
        pools={"mean": (dim,), "temporal": (num_frames, dim), "tokens": (num_frames * 256, dim)},
        weights=f"google/videoprism-{checkpoint}",
        licence="Apache 2.0",
        alias_of=alias_of,
    )


BACKBONES: dict[str, BackboneEntry] = {
    "videomae": _videomae("base", 768, alias_of="videomae_base"),
    "videomae_small": _videomae("small", 384),
    "videomae_base": _videomae("base", 768),
    "videomae_large": _videomae("large", 1024),
    "videomae_huge": _videomae("huge", 1280),
    "videomae_giant": _VIDEOMAE_GIANT,
    "mvit": _mvit(alias_of="mvit_v2_s"),
    "mvit_v1_b": _mvit(),
    "mvit_v2_s": _mvit(),
    "mvit_v2_b": _mvit(32, weights=None, file_hint="SlowFast's MVITv2_B_32x3 (.pyth)"),
    "swin3d_t": _swin3d(768),
    "swin3d_s": _swin3d(768),
    "swin3d_b": _swin3d(1024, imagenet="KINETICS400_IMAGENET22K_V1"),
    "r3d_18": _convolutional("build", 512, 16, 112, num_steps=2),
    "mc3_18": _convolutional("build", 512, 16, 112, num_steps=16),
    "r2plus1d_18": _convolutional("build", 512, 16, 112, num_steps=2),
    "s3d": _convolutional("build_s3d", 1024, 128, 224, num_steps=16),
    **_MOVINETS,
    "dinov2": _image_net("dinov2", 768, f"{_DINOV2}-base", alias_of="dinov2_b"),
    "dinov2_s": _image_net("dinov2", 384, f"{_DINOV2}-small"),
    "dinov2_b": _image_net("dinov2", 768, f"{_DINOV2}-base"),
    "vit": _image_net("vit", 768, _AUGREG, alias_of="vit_b_augreg"),
    "vit_b_augreg": _image_net("vit", 768, _AUGREG),
    "vjepa2": _vjepa2(1024, "vitl-fpc64-256", alias_of="vjepa2_l"),
    "vjepa2_l": _vjepa2(1024, "vitl-fpc64-256"),
    "vjepa2_h": _vjepa2(1280, "vith-fpc64-256"),
    "vjepa2_g": _vjepa2(1408, "vitg-fpc64-256"),
    "vjepa2_g_384": _vjepa2(1408, "vitg-fpc64-384", size=384),
    "videoprism": _videoprism(768, 16, "base-f16r288", alias_of="videoprism_b"),
    "videoprism_b": _videoprism(768, 16, "base-f16r288"),
    "videoprism_l": _videoprism(1024, 8, "large-f8r288"),
}
"""Name → entry."""

_NO_LARGE_STREAM = (
    "from A3 on stream nets need positional encodings, and PyTorch weights of them were never published;"
    " there are movinet_a0_stream, movinet_a1_stream, movinet_a2_stream, and movinet_{size} for clips"
)
ABSENT: dict[str, str] = {
    **{f"movinet_{size}_stream": _NO_LARGE_STREAM.format(size=size) for size in ("a3", "a4", "a5")},
    **{f"movinet_{size}_stream_relu6": _NO_LARGE_STREAM.format(size=size) for size in ("a3", "a4", "a5")},
}
"""A name that one may well look for → why there is no such backbone, and what there is."""


def find_entry(name: str) -> BackboneEntry:
    """The entry of a backbone.

    Raises:
        BackboneError: there is none of that name; says which there are, and which was probably meant.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith(HF_PREFIX):
        return _hf(name)
    if name in ABSENT:
        raise BackboneError(f"there is no backbone {name!r}: {ABSENT[name]}")
    close = difflib.get_close_matches(name.lower().replace("-", "_"), BACKBONES, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise BackboneError(
        f"there is no backbone {name!r}{meant}; there are: {', '.join(BACKBONES)},"
        f" and {HF_PREFIX}ORG/NAME or {HF_PREFIX}FOLDER for any video classifier of transformers"
    )


def _hf(name: str) -> BackboneEntry:
    checkpoint = name.removeprefix(HF_PREFIX)
    if not checkpoint:
        raise BackboneError(f"{name!r} names no checkpoint: type {HF_PREFIX}ORG/NAME or {HF_PREFIX}FOLDER")
    return BackboneEntry(
        build="fouls.pipeline.backbones.hf:build", dim=None, num_frames=None, size=None, pools={}, weights=checkpoint
    )


def load_builder(entry: BackboneEntry) -> Callable[[BuildRequest], Net]:
    """Import the builder that an entry names."""
    module, _, function = entry.build.partition(":")
    builder: Callable[[BuildRequest], Net] = getattr(import_module(module), function)
    return builder
