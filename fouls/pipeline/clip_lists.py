"""The clips of many videos at once: each length is sampled once, and its clips are kept once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fouls.cache.spec import SamplingSpec
from fouls.errors import VideoError
from fouls.pipeline.sampling import sample_clips, stream

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClipLists:
    """The clips of V videos."""

    clips: pa.ListArray
    """Clip → its frames, counted from the first frame of the video, or of the segment that counts as one."""
    first: Ints
    """(V,): the first clip of each video; the others follow it."""
    count: Ints
    """(V,): how many it has; 0 where it can't be sampled."""
    errors: dict[int, str]
    """Video → why it can't be sampled, as ``class: message``."""


def sample_videos(num_frames: Ints, fps: npt.NDArray[np.float64], sampling: SamplingSpec) -> ClipLists:
    """Sample videos as :func:`fouls.pipeline.sampling.sample_clips` does.

    Args:
        num_frames: of each video, or of its segment, (V,).
        fps: native frames a second, (V,); 0 where that is not known.
        sampling: what to do.
    """
    read_fps = fps if sampling.window_fps is not None else np.zeros_like(fps)
    kinds, kind_of = np.unique(np.stack([num_frames, read_fps]), axis=1, return_inverse=True)  # (2, kinds), (V,)
    kind_of = kind_of.reshape(-1)
    sampled = [_sample(int(length), rate, sampling) for length, rate in kinds.T.tolist()]
    count = np.array([0 if isinstance(clips, str) else len(clips) for clips in sampled], dtype=np.int64)
    all_clips = [clip for clips in sampled if not isinstance(clips, str) for clip in clips]
    edges = np.cumsum([0, *(len(clip) for clip in all_clips)], dtype=np.int32)
    frames = np.concatenate([np.zeros(0, dtype=np.int64), *all_clips])
    return ClipLists(
        clips=pa.ListArray.from_arrays(pa.array(edges), pa.array(frames)),
        first=(np.cumsum(count) - count)[kind_of],
        count=count[kind_of],
        errors={int(video): str(sampled[kind_of[video]]) for video in np.flatnonzero(count[kind_of] == 0)},
    )


@lru_cache(maxsize=4096)
def _sample(num_frames: int, fps: float, sampling: SamplingSpec) -> list[Ints] | str:
    """The clips of one video, or why it has none."""
    try:
        if sampling.kind == "stream":
            return stream(num_frames, sampling.num_frames, sampling.frame_stride or 1)
        return list(sample_clips(num_frames, fps, sampling))
    except VideoError as error:
        return f"{error.code}: {error}"
