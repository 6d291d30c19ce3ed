"""Every registered backbone at a fraction of its depth and width, built by its own builder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from torchvision.models import video
from torchvision.models.video import resnet
from torchvision.models.video.swin_transformer import SwinTransformer3d

from fouls.pipeline.backbones import dinov2, mvit, videomae, videoprism, vit, vjepa2
from fouls.pipeline.backbones.movinet.configs import CONFIGS, Stage
from fouls.pipeline.backbones.registry import BACKBONES

NARROW = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 96}
FAMILIES: dict[str, tuple[Any, dict[str, int]]] = {
    "videomae": (videomae, NARROW),
    "dinov2": (dinov2, {key: value for key, value in NARROW.items() if key != "intermediate_size"}),
    "vit": (vit, NARROW),
    "vjepa2": (
        vjepa2,
        {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "pred_num_hidden_layers": 1},
    ),
    "videoprism": (
        videoprism,
        {
            "hidden_size": 48,
            "num_spatial_layers": 1,
            "num_temporal_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 96,
        },
    ),
}
"""Name of the family → its module, and the values of its config that are replaced."""

FRAMES = {"dinov2": 3, "vit": 3, "vjepa2": 4, "swin3d": 5, "movinet": 3, "r3d": 3, "mc3": 2, "r2plus1d": 2, "s3d": 14}
"""Frames a clip where a backbone takes any number; the others keep their own."""


def family_of(name: str) -> str:
    return name.partition("_")[0]


def reduce(name: str, patch: pytest.MonkeyPatch) -> int | None:
    """Make a backbone small, and say with how many frames it is to be loaded (``None``: its own)."""
    entry, family = BACKBONES[name], family_of(name)
    if family in FAMILIES:
        module, small = FAMILIES[family]
        own = entry.alias_of or name
        sizes = {own: {**module.FAMILY.sizes[own], **small}}
        patch.setattr(module, "FAMILY", replace(module.FAMILY, sizes=sizes))
    elif family == "movinet":
        size = name.split("_")[1]
        config = CONFIGS[size]
        stages = tuple(
            Stage(width=stage.width, kernels=stage.kernels.split()[0], expanded=stage.expanded[:1])
            for stage in config.stages
        )
        patch.setitem(CONFIGS, size, replace(config, stages=stages))
    elif family == "mvit":
        blocks = [(1, 16, 16, 1, 8), (1, 16, 32, 2, 4), (2, 32, 32, 2, 2), (2, 32, 32, 2, 1)]
        own = entry.alias_of or name
        patch.setattr(mvit if own == "mvit_v2_b" else video, own, partial(_mvit, entry.num_frames, blocks))
    elif family == "swin3d":
        patch.setattr(video, name, _swin)
    elif family in ("r3d", "mc3", "r2plus1d"):
        patch.setattr(video, name, partial(_resnet, name))
    else:
        assert family == "s3d", f"tell here how {name} is made small"
    return FRAMES.get(family)


def _mvit(num_frames: int, blocks: list[tuple[int, int, int, int, int]], num_classes: int = 400) -> Any:
    return mvit.mvit_v2((224, 224), num_frames, blocks, num_classes)


def _swin(num_classes: int = 400) -> Any:
    return SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=16,
        depths=[2, 1],
        num_heads=[1, 2],
        window_size=[8, 7, 7],
        num_classes=num_classes,
    )


def _resnet(name: str, num_classes: int = 400) -> Any:
    plain, flat = resnet.Conv3DSimple, resnet.Conv3DNoTemporal
    makers = {"r3d_18": [plain] * 4, "mc3_18": [plain, *[flat] * 3], "r2plus1d_18": [resnet.Conv2Plus1D] * 4}[name]
    stem = resnet.R2Plus1dStem if name == "r2plus1d_18" else resnet.BasicStem
    return resnet.VideoResNet(resnet.BasicBlock, makers, [1, 1, 1, 1], stem, num_classes=num_classes)
