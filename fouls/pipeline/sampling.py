"""Which frames of a video make which clips: pure arithmetic on frame numbers, no video needed.

In the pictures ``f`` is a frame that is taken, ``.`` one that is not, each line a clip. A video that is too short for a
clip has its last frame repeated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fouls.cache.spec import SamplingSpec
from fouls.errors import VideoError

Clips = npt.NDArray[np.int64]
"""(clips, frames): frame numbers, ascending in each clip."""


def sample_clips(num_frames: int, fps: float, spec: SamplingSpec) -> Clips:
    """The frames of every clip that a spec makes of a video.

    Args:
        num_frames: of the video, or of the segment that counts as one; numbers begin at its first frame.
        fps: native frames a second; only ``window`` with ``window_fps`` reads it.
        spec: what to do; ``num_crops`` does not change the result.

    Returns:
        (clips, ``spec.num_frames``) int64, all in [0, ``num_frames``).

    Raises:
        VideoError: ``too_short``: no frame at all, or none in the window; ``unreadable``: the frame rate is needed and
            not known.
    """
    if num_frames < 1:
        raise VideoError("too_short", "no frames")
    if spec.kind == "center":
        return center(num_frames, spec.num_frames, _given(spec.frame_stride))
    if spec.kind == "dense":
        return dense(num_frames, spec.num_frames, _given(spec.frame_stride), _given(spec.hop))
    if spec.kind == "views":
        return views(num_frames, spec.num_frames, _given(spec.frame_stride), spec.num_clips)
    if spec.kind == "window":
        start, stop = _given(spec.window_start), _given(spec.window_stop)
        return window(num_frames, fps, spec.num_frames, start, stop, spec.window_fps)
    return uniform(num_frames, spec.num_frames)


def uniform(num_frames: int, clip_frames: int) -> Clips:
    """One clip over the whole video, its first and its last frame included.

    ``f..f..f..f`` (10 frames, 4 a clip); ``linspace(0, num_frames − 1, clip_frames)``, truncated.
    """
    return _spread(0, num_frames - 1, clip_frames)[None]


def center(num_frames: int, clip_frames: int, frame_stride: int) -> Clips:
    """One clip of frames ``frame_stride`` apart from the middle of the video.

    ``..f.f.f...`` (10 frames, 3 a clip, stride 2)
    """
    first = max(0, (num_frames - span(clip_frames, frame_stride)) // 2)
    return _windows(np.array([first]), num_frames, clip_frames, frame_stride)


def dense(num_frames: int, clip_frames: int, frame_stride: int, hop: int) -> Clips:
    """Clips that start every ``hop`` frames, until one reaches the last frame.

    10 frames, 3 a clip, stride 2, hop 3; the last repeats frame 9::

        f.f.f.....
        ...f.f.f..
        ......f.ff
    """
    beyond = max(0, num_frames - span(clip_frames, frame_stride))
    starts = np.arange(0, min(beyond + hop, num_frames), hop)  # the last is the first at or after ``beyond``
    return _windows(starts, num_frames, clip_frames, frame_stride)


def views(num_frames: int, clip_frames: int, frame_stride: int, num_clips: int) -> Clips:
    """``num_clips`` clips, the first at the beginning of the video, the last at its end, the others evenly between.

    10 frames, 3 a clip, stride 2, 3 clips::

        f.f.f.....
        ..f.f.f...
        .....f.f.f
    """
    last_start = max(0, num_frames - span(clip_frames, frame_stride))
    return _windows(_spread(0, last_start, num_clips), num_frames, clip_frames, frame_stride)


def stream(num_frames: int, clip_frames: int, frame_stride: int) -> list[npt.NDArray[np.int64]]:
    """Sub-clips that follow each other without a gap, for nets that remember; the last one is as long as is left.

    ``f.f.......`` / ``....f.f...`` / ``........f.`` (10 frames, 2 a sub-clip, stride 2)

    Returns:
        (F,) frame numbers of each sub-clip; none is empty.

    Raises:
        VideoError: ``too_short``: no frames.
    """
    if num_frames < 1:
        raise VideoError("too_short", "no frames")
    taken = np.arange(0, num_frames, frame_stride, dtype=np.int64)
    return [taken[first : first + clip_frames] for first in range(0, len(taken), clip_frames)]


def window(
    num_frames: int, fps: float, clip_frames: int, start: int, stop: int, window_fps: float | None = None
) -> Clips:
    """One clip from the frames [start, stop), thinned out to ``window_fps``.

    ``..f.ff.f..`` (10 frames, window 2:8, 25 fps to 17: the j-th frame of the window stays when j % (25 / 17) < 1).
    More frames than a clip has are thinned out once more, evenly, as in :func:`uniform`.

    Raises:
        VideoError: ``too_short``: the window begins after the end of the video; ``unreadable``: no frame rate.
    """
    if start >= num_frames:
        raise VideoError("too_short", f"{num_frames} frames, and the window begins at frame {start}")
    frames = np.arange(start, min(stop, num_frames))
    if window_fps is not None:
        if not fps > 0:
            raise VideoError(
                "unreadable", f"the frame rate, which the window at {window_fps:g} fps needs, is not known"
            )
        frames = frames[(frames - start) % (fps / window_fps) < 1]
    kept = len(frames)
    chosen = _spread(0, kept - 1, clip_frames) if kept > clip_frames else np.minimum(np.arange(clip_frames), kept - 1)
    return frames[chosen][None].astype(np.int64)


def _given(value: int | None) -> int:
    if value is None:  # the spec has made sure
        raise AssertionError("a spec without a parameter that its sampling reads")
    return value


def span(clip_frames: int, frame_stride: int) -> int:
    """Native frames from a clip's first to its last, both included."""
    return (clip_frames - 1) * frame_stride + 1


def _spread(first: int, last: int, count: int) -> npt.NDArray[np.int64]:
    """``count`` numbers from ``first`` to ``last``, evenly, truncated; (count,)."""
    return np.linspace(first, last, count, dtype=np.float64).astype(np.int64)


def _windows(starts: npt.NDArray[np.int64], num_frames: int, clip_frames: int, frame_stride: int) -> Clips:
    """A clip at each start; past the end, the last frame again."""
    offsets = np.arange(clip_frames, dtype=np.int64) * frame_stride
    clips: Clips = np.minimum(starts[:, None] + offsets, num_frames - 1).astype(np.int64)
    return clips
