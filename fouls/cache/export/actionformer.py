"""``actionformer``: what ActionFormer, and programs that follow it, read for temporal action detection.

https://github.com/happyharrycn/actionformer_release, ``libs/datasets``: an array (T, D) a video, and a JSON file of
annotations in the manner of ActivityNet. Step t of a video is about the frames from ``t · feat_stride`` on,
``num_frames`` of them; a time of s seconds lies at step ``(s · fps − num_frames / 2) / feat_stride``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fouls.cache.export.about import About
from fouls.cache.export.npy import json_bytes, npy_bytes
from fouls.cache.export.videos import VideoFeatures

FEATURES, ANNOTATIONS, CONFIG = "features", "annotations.json", "dataset.json"


def write(folder: Path, videos: Iterable[VideoFeatures], about: About) -> dict[str, str]:
    """Write ``features/NAME.npy``, (T, D) float32, :data:`ANNOTATIONS`, and :data:`CONFIG`: the part ``dataset`` of
    ActionFormer's configuration.

    Returns:
        Videos that are left out, and why: rows in between are missing, or the frame rate is not known.

    Raises:
        ExportError: the features don't follow time at one pace.
    """
    steps = about.steps()
    (folder / FEATURES).mkdir()
    left_out: dict[str, str] = {}
    database: dict[str, Any] = {}
    for video in videos:
        reason = _unusable(video)
        if reason is not None:
            left_out[video.video_id] = reason
            continue
        (folder / FEATURES / f"{video.name}.npy").write_bytes(npy_bytes(in_time(video.values)))
        database[video.name] = _entry(video)
    labels = sorted({found["label"] for entry in database.values() for found in entry["annotations"]})
    for entry in database.values():
        for found in entry["annotations"]:
            found["label_id"] = labels.index(found["label"])
    config = {
        "json_file": ANNOTATIONS,
        "feat_folder": FEATURES,
        "file_prefix": None,
        "file_ext": ".npy",
        "num_classes": len(labels),
        "input_dim": about.shape[-1],
        "feat_stride": steps.stride_frames,
        "num_frames": steps.span_frames,
        "default_fps": None,
    }
    (folder / ANNOTATIONS).write_bytes(json_bytes({"version": "fouls", "database": database}))
    (folder / CONFIG).write_bytes(json_bytes(config))
    return left_out


def in_time(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """(R, D) or (R, T', D) → (T, D)."""
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=np.float32)


def _unusable(video: VideoFeatures) -> str | None:
    if video.missing:
        return f"{video.missing} rows are missing, and steps without them would be at the wrong times"
    return None if video.fps else "its frame rate is not known"


def _entry(video: VideoFeatures) -> dict[str, Any]:
    fps = video.fps
    assert fps is not None
    stop = video.facts.num_frames or video.rows["stop_frame"].to_numpy().max()
    return {
        "video_id": video.video_id,
        "subset": video.facts.split or "all",
        "duration": (int(stop) - video.origin) / fps,
        "fps": fps,
        "annotations": [
            {
                "label": segment.label,
                "label_id": None,
                "segment": [(segment.start_frame - video.origin) / fps, (segment.stop_frame - video.origin) / fps],
            }
            for segment in video.facts.segments or ()
        ],
    }
