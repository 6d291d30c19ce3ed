"""DINOv2 through transformers, frame by frame.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024.
"""

from __future__ import annotations

from fouls.cache.spec import PreprocessingSpec
from fouls.pipeline.backbones.backbone import Net
from fouls.pipeline.backbones.families import IMAGENET_MEAN, IMAGENET_STD, Family, load_family
from fouls.pipeline.backbones.frames import frame_net
from fouls.pipeline.backbones.hub import Heads
from fouls.pipeline.backbones.registry import BuildRequest

FAMILY = Family(
    name="dinov2",
    model_type="dinov2",
    model_class="Dinov2Model",
    config_class="Dinov2Config",
    sizes={
        "dinov2_s": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "patch_size": 14},
        "dinov2_b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "patch_size": 14},
    },
    heads=Heads(optional=(), ignored=("classifier.",)),
    default_preprocessing=lambda config: PreprocessingSpec(
        resize_to=256, crop=224, interpolation="bicubic", antialias=True, mean=IMAGENET_MEAN, std=IMAGENET_STD
    ),
    input_size=None,  # the position embeddings, which are for 518 × 518, are interpolated
    shared={"image_size": 518},
)


def build(request: BuildRequest) -> Net:
    """Build DINOv2 from a hub id, a folder or file in the hub's format, or with made-up weights.

    Raises:
        BackboneError: less than one frame.
        WeightsError: the weights can't be had, can't be read, or don't fit.
    """
    return frame_net(request, load_family(request, FAMILY))
