"""The tests' own videos: what is written is what was meant."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.media import frame_numbered_video, numbered_frames, read_frame_number


def test_the_number_of_a_frame_can_be_read_from_its_pixels() -> None:
    assert [read_frame_number(frame) for frame in numbered_frames(4096, width=40, height=30)] == list(range(4096))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("h264.mp4", "libx264"), ("mpeg4.avi", "mpeg4"), ("vp9.webm", "libvpx-vp9"), ("av1.mkv", "libsvtav1")],
)
def test_the_number_survives_compression(tmp_path: Path, name: str, codec: str) -> None:
    path = frame_numbered_video(tmp_path / name, 30, codec=codec)
    with av.open(path) as container:
        assert [read_frame_number(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)] == list(range(30))


def test_rotation_stands_in_the_header(tmp_path: Path) -> None:
    path = frame_numbered_video(tmp_path / "turned.mp4", 2, rotation=90)
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height, frame.rotation) == (96, 64, 90)
