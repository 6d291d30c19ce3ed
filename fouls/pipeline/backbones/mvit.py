"""MViT through torchvision.

Fan et al., "Multiscale Vision Transformers", ICCV 2021 (``mvit_v1_b``); Li et al., "MViTv2: Improved Multiscale
Vision Transformers for Classification and Detection", CVPR 2022 (``mvit_v2_s``). Tokens are taken after the final
norm: the class token first, then space within time.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fouls.errors import BackboneError
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.pooling import mean, temporal_pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.torchvision_nets import load_net, preset


def build(request: BuildRequest) -> Net:
    """Build an MViT from torchvision's weights, a file of that format, or with made-up weights.

    Raises:
        BackboneError: another number of frames than the net's: its position embeddings are for that number only.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    from torchvision.models import video

    name = request.entry.alias_of or request.name
    construct, published = {
        "mvit_v1_b": (video.mvit_v1_b, video.MViT_V1_B_Weights),
        "mvit_v2_s": (video.mvit_v2_s, video.MViT_V2_S_Weights),
    }[name]
    num_frames = request.entry.num_frames
    if request.num_frames not in (None, num_frames):
        raise BackboneError(f"{name} takes {num_frames} frames a clip, not {request.num_frames}")
    model: Any = load_net(request, construct, published)
    return Net(
        name=name,
        num_frames=num_frames,
        preprocessing=preset(published),
        module=model,
        tokens=lambda x: _tokens(model, x),
        pools=_pools(model),
        heads=("head",),
    )


def _tokens(model: Any, x: Tensor) -> Tensor:
    """torchvision's forward pass up to the final norm: (B, 3, T, S, S) → (B, 1 + T'·H'·W', D)."""
    tokens: Tensor = model.pos_encoding(model.conv_proj(x).flatten(2).transpose(1, 2))
    grid = (model.pos_encoding.temporal_size, *model.pos_encoding.spatial_size)
    for block in model.blocks:
        tokens, grid = block(tokens, grid)
    normed: Tensor = model.norm(tokens)
    return normed


def _pools(model: Any) -> dict[str, Pool]:
    dim = model.norm.normalized_shape[0]
    temporal = temporal_pool(model.pos_encoding.temporal_size, dim)  # no block strides in time
    pools = {
        "cls": Pool(shape=(dim,), compute=lambda tokens: tokens[:, 0]),
        "mean": Pool(shape=(dim,), compute=lambda tokens: mean(tokens[:, 1:])),
        "temporal": Pool(shape=temporal.shape, compute=lambda tokens: temporal.compute(tokens[:, 1:])),
    }
    if model.head is not None:
        pools["logits"] = Pool(shape=(model.head[1].out_features,), compute=lambda tokens: model.head(tokens[:, 0]))
    return pools
