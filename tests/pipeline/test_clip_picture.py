from __future__ import annotations

from fouls.pipeline.backbones.loading import load_blank
from fouls.pipeline.clip_picture import draw_clips


def test_clips_of_sixteen_frames() -> None:
    uniform, center = draw_clips(load_blank("mvit"))
    assert (uniform.sampling, uniform.is_default, uniform.num_frames, uniform.frame_stride) == (
        "uniform",
        True,
        16,
        None,
    )
    assert uniform.picture == "f...f" + "....f" * 14
    assert (uniform.span_frames, uniform.span_seconds) == (75, 3.0)
    assert (center.sampling, center.is_default, center.num_frames, center.frame_stride) == ("center", False, 16, 4)
    assert center.picture == "......." + "f..." * 15 + "f" + "......."
    assert (center.span_frames, center.span_seconds) == (61, 2.44)


def test_the_video_is_long_enough_for_the_clip() -> None:
    uniform, center = draw_clips(load_blank("movinet_a3"))
    assert len(uniform.picture) == len(center.picture) == 125
    assert uniform.picture.count("f") == center.picture.count("f") == 120
    assert (center.frame_stride, center.span_frames, center.span_seconds) == (1, 120, 4.8)


def test_a_stream_begins_with_the_video() -> None:
    stream, center = draw_clips(load_blank("movinet_a0_stream"))
    assert (stream.sampling, stream.is_default, stream.num_frames) == ("stream", True, 8)
    assert stream.picture == "f" * 8 + "." * 67
    assert center.span_frames == 50
