"""MViT through torchvision.

Fan et al., "Multiscale Vision Transformers", ICCV 2021 (``mvit_v1_b``); Li et al., "MViTv2: Improved Multiscale
Vision Transformers for Classification and Detection", CVPR 2022 (``mvit_v2_s``, ``mvit_v2_b``).
Tokens are taken after the final norm: the class token first, then space within time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fouls.errors import BackboneError
from fouls.pipeline.backbones.attention import Tiling
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.mvit_attention import tile
from fouls.pipeline.backbones.pooling import mean, temporal_pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.slowfast import from_slowfast
from fouls.pipeline.backbones.torchvision_nets import class_names, load_net, preset


def build(request: BuildRequest) -> Net:
    """Build an MViT from torchvision's weights, a file of torchvision or SlowFast, or with made-up weights.

    Raises:
        BackboneError: another number of frames than the net's: its position embeddings are for that number only.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    from torchvision.models import video

    name = request.entry.alias_of or request.name
    construct, published, num_frames = {
        "mvit_v1_b": (video.mvit_v1_b, video.MViT_V1_B_Weights, 16),
        "mvit_v2_s": (video.mvit_v2_s, video.MViT_V2_S_Weights, 16),
        "mvit_v2_b": (mvit_v2_b, None, 32),
    }[name]
    if request.num_frames not in (None, num_frames):
        raise BackboneError(f"{name} takes {num_frames} frames a clip, not {request.num_frames}")
    model: Any = load_net(request, construct, published, from_slowfast)
    pools = _pools(model)
    return Net(
        name=name,
        num_frames=num_frames,
        preprocessing=preset(video.MViT_V2_S_Weights),
        module=model,
        tokens=lambda x: _tokens(model, x),
        tiling=Tiling(switch=lambda: tile(model), pays_in_fp32=True),
        pools=pools,
        heads=("head",),
        classes=class_names(request, published, pools),
    )


def mvit_v2_b(num_classes: int = 400) -> nn.Module:
    """MViTv2-B, which torchvision does not have, as SlowFast's ``MVITv2_B_32x3`` defines it: 32 frames of 224 × 224."""
    stages = [
        [(1, 96, 96, 1, 8)] * 2,  # heads, width in, width out, stride of queries, stride of keys and values
        [(2, 96, 192, 2, 4), *[(2, 192, 192, 1, 4)] * 2],
        [(4, 192, 384, 2, 2), *[(4, 384, 384, 1, 2)] * 15],
        [(8, 384, 768, 2, 1), *[(8, 768, 768, 1, 1)] * 2],
    ]
    return mvit_v2((224, 224), 32, [block for stage in stages for block in stage], num_classes)


def mvit_v2(
    size: tuple[int, int], num_frames: int, blocks: Sequence[tuple[int, int, int, int, int]], num_classes: int
) -> nn.Module:
    """An MViTv2 of torchvision's parts, with the convolutions of 3 × 3 × 3 that all of that family have.

    Args:
        size: height and width of the input.
        num_frames: frames a clip.
        blocks: heads, width in, width out, stride of queries, stride of keys and values (in space), a block each.
        num_classes: of the classifier.
    """
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    settings = [
        MSBlockConfig(
            num_heads=heads,
            input_channels=width_in,
            output_channels=width_out,
            kernel_q=[3, 3, 3],
            kernel_kv=[3, 3, 3],
            stride_q=[1, stride_q, stride_q],
            stride_kv=[1, stride_kv, stride_kv],
        )
        for heads, width_in, width_out, stride_q, stride_kv in blocks
    ]
    net: nn.Module = MViT(
        spatial_size=size,
        temporal_size=num_frames,
        block_setting=settings,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        num_classes=num_classes,
    )
    return net


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
