"""R3D-18, MC3-18, R(2+1)D-18 and S3D through torchvision: convolutions in space and time, any number of frames.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018; Xie et al.,
"Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification", ECCV 2018 (S3D).
Tokens are the last feature map, space within time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fouls.errors import BackboneError
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.pooling import mean, mean_pool, temporal_pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.torchvision_nets import class_names, load_net, preset

S3D_MIN_FRAMES = 14
"""What torchvision names; less leave nothing for the pooling over two steps in time."""


def build(request: BuildRequest) -> Net:
    """Build one of the 3-D ResNets from torchvision's weights, a file of that format, or with made-up weights.

    Raises:
        BackboneError: less than one frame.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    from torchvision.models import video

    construct, published = {
        "r3d_18": (video.r3d_18, video.R3D_18_Weights),
        "mc3_18": (video.mc3_18, video.MC3_18_Weights),
        "r2plus1d_18": (video.r2plus1d_18, video.R2Plus1D_18_Weights),
    }[request.name]
    num_frames = request.any_num_frames()
    model: Any = load_net(request, construct, published, head="fc")
    dim = model.layer4[-1].conv2[1].num_features
    num_steps = num_frames if request.name == "mc3_18" else -(-num_frames // 8)  # MC3 strides in space only
    pools = {"mean": mean_pool(dim), "temporal": temporal_pool(num_steps, dim)}
    if model.fc is not None:
        pools["logits"] = Pool(shape=(model.fc.out_features,), compute=lambda tokens: model.fc(mean(tokens)))
    return Net(
        name=request.name,
        num_frames=num_frames,
        preprocessing=preset(published),
        module=model,
        tokens=lambda x: _resnet_tokens(model, x),
        pools=pools,
        heads=("fc",),
        classes=class_names(request, published, pools),
    )


def build_s3d(request: BuildRequest) -> Net:
    """Build S3D from torchvision's weights, a file of that format, or with made-up weights.

    Raises:
        BackboneError: less than 14 frames.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    from torchvision.models import video

    num_frames = request.any_num_frames()
    if num_frames < S3D_MIN_FRAMES:
        raise BackboneError(f"{request.name} takes {S3D_MIN_FRAMES} frames a clip or more, not {num_frames}")
    model: Any = load_net(request, video.s3d, video.S3D_Weights, head="classifier")
    dim = 1024
    num_steps = -(-num_frames // 4) // 2
    pools = {"mean": mean_pool(dim), "temporal": temporal_pool(num_steps, dim)}
    if model.classifier is not None:
        classes = model.classifier[1].out_channels
        pools["logits"] = Pool(shape=(classes,), compute=lambda tokens: _s3d_logits(model, tokens))
    return Net(
        name=request.name,
        num_frames=num_frames,
        preprocessing=preset(video.S3D_Weights),
        module=model,
        tokens=lambda x: _s3d_tokens(model, x),
        pools=pools,
        heads=("classifier",),
        classes=class_names(request, video.S3D_Weights, pools),
    )


def _resnet_tokens(model: Any, x: Tensor) -> Tensor:
    """torchvision's forward pass up to its pooling: (B, 3, T, S, S) → (B, T'·H'·W', D)."""
    for part in (model.stem, model.layer1, model.layer2, model.layer3, model.layer4):
        x = part(x)
    return x.flatten(2).mT


def _s3d_tokens(model: Any, x: Tensor) -> Tensor:
    """torchvision's forward pass up to its pooling: (B, 3, T, S, S) → (B, T'·H'·W', D)."""
    if x.device.type == "cpu":  # its pooling between the convolutions: 2.5 × as fast for the whole net in bf16
        x = x.contiguous(memory_format=torch.channels_last_3d)
    features: Tensor = model.features(x)
    return features.flatten(2).mT


def _s3d_logits(model: Any, tokens: Tensor) -> Tensor:
    """Classes of every two neighbouring steps in time, averaged: the first and the last step count half."""
    grid = tokens.mT.unflatten(2, (-1, 7, 7))  # type: ignore[no-untyped-call]  # (B, D, T', 7, 7)
    logits: Tensor = model.classifier(model.avgpool(grid)).mean((2, 3, 4))
    return logits
