"""The demo's backbone: a very small VideoMAE with made-up weights, written the way the hub has them."""

from __future__ import annotations

import json
from pathlib import Path

SEED = 0


def write_backbone(folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``.

    The weights are drawn wider than for training (0.1 instead of 0.02): nothing will be learned, and an untrained
    net that hardly mixes its tokens has little to say about them.
    """
    import torch
    from transformers import VideoMAEConfig, VideoMAEModel
    from transformers.utils import logging

    config = VideoMAEConfig(
        image_size=64,
        patch_size=16,
        num_frames=16,
        tubelet_size=2,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=384,
        use_mean_pooling=True,
        initializer_range=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = VideoMAEModel(config)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    logging.enable_progress_bar()
    preprocessing = {
        "do_resize": True,
        "size": {"shortest_edge": 64},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": 64, "width": 64},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "image_processor_type": "VideoMAEImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")
