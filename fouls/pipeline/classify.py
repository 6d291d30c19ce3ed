"""What a classifier checkpoint itself says of videos: the quickest proof of weights, preprocessing and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fouls.errors import BackboneError
from fouls.pipeline.backbones.backbone import Backbone
from fouls.pipeline.loose import extract_loose
from fouls.pipeline.options import ExtractOptions, SamplingOptions, resolve_spec

LOGITS = "logits"
ONE_CLIP = SamplingOptions(kind="uniform")


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Classes of one video."""

    video: str
    probabilities: npt.NDArray[np.float32]
    """(C,), of sum 1."""

    def best(self, count: int) -> list[int]:
        """The ``count`` most probable classes, the most probable first."""
        order: list[int] = np.argsort(-self.probabilities, kind="stable")[:count].tolist()
        return order


@dataclass(frozen=True, kw_only=True)
class Classifications:
    """Classes of some videos."""

    classes: tuple[str, ...]
    """Names, of length C; ``class 17`` where the checkpoint does not tell them."""
    videos: tuple[Classification, ...]
    """Those that could be used, in the order in which they were named."""
    failures: dict[str, str]
    """Video → why it could not be used."""


def classify(
    videos: Sequence[str],
    backbone: Backbone,
    *,
    decoder: str = "auto",
    workers: int = 1,
    timeout_seconds: float = 120.0,
) -> Classifications:
    """Classes by the backbone's own classifier, from one clip spread evenly over each video.

    Args:
        videos: paths.
        backbone: a classifier.
        decoder: see ``fouls.video.decoders``.
        workers: decoding processes.
        timeout_seconds: for one video.

    Raises:
        BackboneError: the backbone, with these weights, has no classifier.
    """
    if LOGITS not in backbone.pools:
        raise BackboneError(
            f"{backbone.name} has no classifier with these weights (its pools: {', '.join(backbone.pools)}): give"
            " --weights of a fine-tuned checkpoint, or a backbone that `fouls backbones` lists with the pool logits"
        )
    options = ExtractOptions(backbone=backbone.name, pools=(LOGITS,), sampling=ONE_CLIP, stored_dtype="float32")
    found = extract_loose(
        videos,
        backbone,
        resolve_spec(options, backbone),
        LOGITS,
        decoder=decoder,
        workers=workers,
        timeout_seconds=timeout_seconds,
    )
    probabilities = torch.softmax(torch.from_numpy(found.values), dim=1).numpy()
    (num_classes,) = backbone.pools[LOGITS]
    return Classifications(
        classes=backbone.classes or tuple(f"class {number}" for number in range(num_classes)),
        videos=tuple(
            Classification(video=video, probabilities=row)
            for video, row in zip(found.rows["video_id"].to_pylist(), probabilities, strict=True)
        ),
        failures=found.failures,
    )
