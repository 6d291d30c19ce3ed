"""Video Swin Transformer through torchvision.

Liu et al., "Video Swin Transformer", CVPR 2022. Tokens are taken after the final norm, space within time. It takes
any number of frames; the published weights were trained with 32.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fouls.pipeline.backbones.attention import Tiling
from fouls.pipeline.backbones.backbone import Net, Pool
from fouls.pipeline.backbones.pooling import mean, mean_pool, temporal_pool
from fouls.pipeline.backbones.registry import BuildRequest
from fouls.pipeline.backbones.swin_attention import tile
from fouls.pipeline.backbones.torchvision_nets import class_names, load_net, preset


def build(request: BuildRequest) -> Net:
    """Build a Video Swin from torchvision's weights, a file of that format, or with made-up weights.

    Raises:
        BackboneError: less than one frame.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    from torchvision.models import video

    construct, published = {
        "swin3d_t": (video.swin3d_t, video.Swin3D_T_Weights),
        "swin3d_s": (video.swin3d_s, video.Swin3D_S_Weights),
        "swin3d_b": (video.swin3d_b, video.Swin3D_B_Weights),
    }[request.name]
    num_frames = request.any_num_frames()
    model: Any = load_net(request, construct, published)
    pools = _pools(model, num_frames)
    return Net(
        name=request.name,
        num_frames=num_frames,
        preprocessing=preset(published),
        module=model,
        tokens=lambda x: _tokens(model, x),
        tiling=Tiling(switch=lambda: tile(model), pays_in_fp32=True),
        pools=pools,
        heads=("head",),
        classes=class_names(request, published, pools),
    )


def _tokens(model: Any, x: Tensor) -> Tensor:
    """torchvision's forward pass up to the final norm: (B, 3, T, S, S) → (B, T'·H'·W', D)."""
    grid: Tensor = model.norm(model.features(model.patch_embed(x)))  # (B, T', H', W', D)
    return grid.flatten(1, 3)


def _pools(model: Any, num_frames: int) -> dict[str, Pool]:
    dim, tubelet = model.num_features, model.patch_embed.tuple_patch_size[0]
    pools = {"mean": mean_pool(dim), "temporal": temporal_pool(-(-num_frames // tubelet), dim)}  # T is padded
    if model.head is not None:
        pools["logits"] = Pool(shape=(model.head.out_features,), compute=lambda tokens: model.head(mean(tokens)))
    return pools
