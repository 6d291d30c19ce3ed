"""Sampling: frame numbers, without any video."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fouls.cache.spec import SamplingSpec
from fouls.errors import VideoError
from fouls.pipeline.sampling import sample_clips

MVFOUL_63_87_AT_17 = [63, 65, 66, 68, 69, 71, 72, 74, 75, 77, 78, 80, 81, 83, 84, 86]


def spec(kind: str, num_frames: int, **parameters: object) -> SamplingSpec:
    return SamplingSpec(kind=kind, num_frames=num_frames, **parameters)  # type: ignore[arg-type]


def clips(num_frames: int, kind: str, clip_frames: int, *, fps: float = 25.0, **parameters: object) -> list[list[int]]:
    return sample_clips(num_frames, fps, spec(kind, clip_frames, **parameters)).tolist()


def picture(clips: list[list[int]], num_frames: int) -> list[str]:
    return ["".join("f" if frame in clip else "." for frame in range(num_frames)) for clip in clips]


EVERY_KIND = [
    spec("uniform", 1),
    spec("uniform", 16),
    spec("center", 16, frame_stride=4),
    spec("center", 3, frame_stride=1),
    spec("dense", 16, frame_stride=2, hop=16),
    spec("dense", 4, frame_stride=3, hop=1),
    spec("dense", 2, frame_stride=1, hop=30),
    spec("views", 16, frame_stride=4, num_clips=5, num_crops=3),
    spec("window", 16, window_start=0, window_stop=24, window_fps=17.0),
    spec("window", 4, window_start=0, window_stop=1000),
]


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: f"{spec.kind}{spec.num_frames}")
def test_every_kind_stays_in_the_video_and_in_order(spec: SamplingSpec) -> None:
    for num_frames in [*range(1, 200), 1000, 12345]:
        indices = sample_clips(num_frames, 25.0, spec)
        assert indices.dtype == np.int64
        assert indices.shape[1] == spec.num_frames
        assert indices.min() >= 0
        assert indices.max() < num_frames
        assert (np.diff(indices, axis=1) >= 0).all()
        assert (np.diff(indices[:, 0]) >= 0).all()


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: f"{spec.kind}{spec.num_frames}")
def test_no_frames_at_all_is_an_error_of_the_video(spec: SamplingSpec) -> None:
    with pytest.raises(VideoError, match="no frames") as caught:
        sample_clips(0, 25.0, spec)
    assert caught.value.code == "too_short"


def test_uniform_covers_the_video_from_its_first_to_its_last_frame() -> None:
    expected = [0, 11, 23, 35, 47, 59, 71, 83, 95, 107, 119, 131, 143, 155, 167, 179]
    assert clips(180, "uniform", 16) == [expected]
    assert picture(clips(10, "uniform", 4), 10) == ["f..f..f..f"]
    for num_frames in range(1, 300):
        (clip,) = clips(num_frames, "uniform", 16)
        assert (clip[0], clip[-1]) == (0, num_frames - 1)
        assert clip == [int(position) for position in np.linspace(0, num_frames - 1, 16)]


def test_center_takes_frames_a_stride_apart_from_the_middle() -> None:
    assert picture(clips(10, "center", 3, frame_stride=2), 10) == ["..f.f.f..."]
    assert clips(300, "center", 16, frame_stride=4) == [list(range(119, 180, 4))]
    for num_frames in range(61, 300):
        (clip,) = clips(num_frames, "center", 16, frame_stride=4)
        before, after = clip[0], num_frames - 1 - clip[-1]
        assert after - before in (0, 1)


def test_center_repeats_the_last_frame_of_a_short_video() -> None:
    assert clips(4, "center", 4, frame_stride=2) == [[0, 2, 3, 3]]
    assert clips(1, "center", 4, frame_stride=2) == [[0, 0, 0, 0]]


def test_dense_goes_on_until_a_clip_reaches_the_last_frame() -> None:
    assert picture(clips(10, "dense", 3, frame_stride=2, hop=3), 10) == ["f.f.f.....", "...f.f.f..", "......f.ff"]
    assert clips(10, "dense", 3, frame_stride=2, hop=3)[-1] == [6, 8, 9]
    assert clips(32, "dense", 16, frame_stride=1, hop=16) == [list(range(16)), list(range(16, 32))]
    assert clips(33, "dense", 16, frame_stride=1, hop=16)[-1] == [32] * 16


def test_dense_leaves_no_frame_outside_every_clip() -> None:
    for clip_frames, stride, hop in windows_without_gaps():
        span = (clip_frames - 1) * stride + 1
        for num_frames in range(1, 60):
            starts = [clip[0] for clip in clips(num_frames, "dense", clip_frames, frame_stride=stride, hop=hop)]
            assert starts == list(range(0, starts[-1] + 1, hop))
            assert starts[-1] + span >= num_frames
            assert all(start + span < num_frames for start in starts[:-1])


def windows_without_gaps() -> Iterator[tuple[int, int, int]]:
    for clip_frames in (1, 2, 5):
        for stride in (1, 2, 3):
            for hop in range(1, (clip_frames - 1) * stride + 2):
                yield clip_frames, stride, hop


def test_dense_with_gaps_has_no_clip_beyond_the_end() -> None:
    assert clips(100, "dense", 5, frame_stride=1, hop=50) == [[0, 1, 2, 3, 4], [50, 51, 52, 53, 54]]


def test_views_spreads_its_clips_from_the_beginning_to_the_end() -> None:
    parameters = {"frame_stride": 2, "num_clips": 3}
    assert picture(clips(10, "views", 3, **parameters), 10) == ["f.f.f.....", "..f.f.f...", ".....f.f.f"]
    assert clips(300, "views", 16, frame_stride=4, num_clips=5) == [
        list(range(start, start + 61, 4)) for start in (0, 59, 119, 179, 239)
    ]
    assert clips(2, "views", 3, frame_stride=1, num_clips=2) == [[0, 1, 1], [0, 1, 1]]


def test_the_number_of_crops_does_not_change_the_frames() -> None:
    one, three = (clips(90, "views", 8, frame_stride=2, num_clips=5, num_crops=crops) for crops in (1, 3))
    assert one == three


def test_window_keeps_what_the_published_setting_keeps() -> None:
    assert clips(126, "window", 16, window_start=63, window_stop=87, window_fps=17.0) == [MVFOUL_63_87_AT_17]
    assert picture(clips(10, "window", 4, window_start=2, window_stop=8, window_fps=17.0), 10) == ["..f.ff.f.."]
    assert clips(126, "window", 16, window_start=67, window_stop=83) == [list(range(67, 83))]


def test_window_with_too_many_frames_is_thinned_evenly_and_with_too_few_repeats_the_last() -> None:
    assert clips(126, "window", 5, window_start=43, window_stop=108) == [[43, 59, 75, 91, 107]]
    assert clips(126, "window", 4, window_start=100, window_stop=102) == [[100, 101, 101, 101]]
    assert clips(126, "window", 4, window_start=10, window_stop=14, window_fps=50.0) == [[10, 11, 12, 13]]


def test_window_is_clipped_to_the_video() -> None:
    assert clips(66, "window", 4, window_start=63, window_stop=87) == [[63, 64, 65, 65]]
    with pytest.raises(VideoError, match="63 frames, and the window begins at frame 63") as caught:
        clips(63, "window", 4, window_start=63, window_stop=87)
    assert caught.value.code == "too_short"


def test_window_at_a_rate_needs_the_rate_of_the_video() -> None:
    with pytest.raises(VideoError, match="frame rate"):
        clips(126, "window", 16, fps=0.0, window_start=63, window_stop=87, window_fps=17.0)
