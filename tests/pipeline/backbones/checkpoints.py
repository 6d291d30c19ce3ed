"""Small checkpoints in the hub's format with made-up weights, and clips from real encoded videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification
from transformers.utils import logging

from tests.media import write_video

HUB_PROCESSOR = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "VideoMAEImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
"""What ``preprocessor_config.json`` of the published checkpoints says."""

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 64,
    "num_frames": 8,
}


def tiny_config(**changes: Any) -> VideoMAEConfig:
    """A VideoMAE of 32 dimensions and 2 layers for 8 frames of 64 × 64."""
    return VideoMAEConfig(**{**TINY, "num_labels": 5, **changes})


def made_up(model_class: Any, config: Any, seed: int = 0) -> Any:
    """A model with weights that make every part of it count: no bias is zero, no norm is one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config).eval()
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def save(model: Any, folder: Path, processor: dict[str, Any] | None = None) -> Path:
    """Write a model as the hub has it, with the hub's preprocessing at the model's size unless told otherwise."""
    size = getattr(model.config, "image_size", None)
    default = HUB_PROCESSOR | {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
    return save_parts(folder, model, plain=default if processor is None else processor)


def save_parts(folder: Path, *parts: Any, plain: dict[str, Any] | None = None) -> Path:
    """Let a model and a processor of transformers write themselves; ``plain`` is a ``preprocessor_config.json``."""
    logging.disable_progress_bar()
    for part in parts:
        part.save_pretrained(folder)
    logging.enable_progress_bar()
    if plain is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(plain))
    return folder


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 2e-6) -> None:
    """Equal but for the order of sums: by direction, and by the largest difference in units of the largest value."""
    assert ours.dtype == torch.float32
    assert ours.shape == theirs.shape
    cosines = torch.cosine_similarity(ours.double().flatten(1), theirs.double().flatten(1))
    assert cosines.min() >= 0.9999999
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def tiny_checkpoint(folder: Path, **changes: Any) -> Path:
    """A tiny fine-tuned VideoMAE in a folder."""
    return save(made_up(VideoMAEForVideoClassification, tiny_config(**changes)), folder)


def video_clip(folder: Path, num_frames: int, *, height: int = 90, width: int = 122) -> npt.NDArray[np.uint8]:
    """Decoded frames of a small encoded video, (T, H, W, 3): a bright square moves over a coloured noise."""
    rng = np.random.default_rng(num_frames)
    ground = rng.integers(0, 200, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    ground = ground.repeat(8, 0).repeat(8, 1)[:height, :width]
    frames = []
    for index in range(num_frames):
        frame = ground.copy()
        frame[10 : 10 + height // 4, 3 * index : 3 * index + width // 4] = (250, 240, 20)
        frames.append(frame)
    return read_clip(write_video(folder / f"clip_{num_frames}_{height}.mp4", frames), range(num_frames))


def read_clip(path: Path, indices: Any) -> npt.NDArray[np.uint8]:
    """The frames of these numbers, (T, H, W, 3)."""
    wanted, frames = set(indices), {}
    with av.open(path) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                frames[index] = frame.to_ndarray(format="rgb24")
    return np.stack([frames[index] for index in indices])
