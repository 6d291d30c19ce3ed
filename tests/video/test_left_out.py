"""Frames that nobody asks for and from which no other is decoded are left out; the wanted ones stay the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fouls.video.pyav_reader import PyavReader
from fouls.video.types import Frame
from tests.media import write_video

NUM_FRAMES = 80
X264 = {
    "b_frames.mp4": "bframes=3:b-adapt=0:b-pyramid=none",
    "pyramid.mp4": "bframes=5:b-adapt=0:b-pyramid=normal:ref=4",
    "pyramid.mkv": "bframes=5:b-adapt=0:b-pyramid=strict:weightb=1:weightp=2",
    "open_groups.mp4": "bframes=5:b-adapt=0:b-pyramid=normal:open-gop=1:scenecut=0",
    "open_groups.ts": "bframes=3:b-adapt=0:open-gop=1:scenecut=0",
    "interlaced.mp4": "bframes=3:b-adapt=0:b-pyramid=normal:tff=1",
    "intra_refresh.mp4": "bframes=3:b-adapt=0:intra-refresh=1",
    "slices.mp4": "bframes=3:b-adapt=0:b-pyramid=normal:slices=4:cabac=0",
}
X265 = {
    "hevc.mp4": "bframes=4:b-adapt=0",
    "layers.mp4": "bframes=4:b-adapt=0:temporal-layers=3",
}
NOTHING_TO_LEAVE_OUT = {*X265, "no_b_frames.mp4"}


class CountingReader(PyavReader):
    """Counts the pictures that the decoder makes."""

    pictures = 0

    def _decode(self, packets: Iterator[Packet[VideoStream]], first: int) -> Iterator[VideoFrame]:
        for picture in super()._decode(packets, first):
            self.pictures += 1
            yield picture


def moving_blobs() -> list[Frame]:
    """Something that changes from frame to frame, so that a wrong reference shows."""
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 255, (64 + NUM_FRAMES, 96 + NUM_FRAMES, 3), dtype=np.uint8)
    texture = np.repeat(np.repeat(texture[::4, ::4], 4, axis=0), 4, axis=1)
    return [np.ascontiguousarray(texture[n : n + 64, n // 2 : n // 2 + 96]) for n in range(NUM_FRAMES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, frames = tmp_path_factory.mktemp("left_out"), moving_blobs()
    for name, parameters in (X264 | {"no_b_frames.mp4": "bframes=0"}).items():
        write_video(path / name, frames, gop=24, options={"x264-params": parameters})
    for name, parameters in X265.items():
        options = {"x265-params": f"log-level=none:pools=1:{parameters}"}
        write_video(path / name, frames, codec="libx265", gop=24, options=options)
    return path


def read(reader: PyavReader, numbers: list[int]) -> list[Frame]:
    return list(reader.read(np.array(numbers, dtype=np.int64)))


@pytest.mark.parametrize("name", [*X264, *X265, "no_b_frames.mp4"])
def test_wanted_frames_are_those_of_a_decode_of_all(name: str, folder: Path) -> None:
    path, draw = str(folder / name), random.Random(0)
    with CountingReader(path) as reader:
        assert reader.info.num_frames == NUM_FRAMES
        everything = read(reader, list(range(NUM_FRAMES)))
        assert reader.pictures == NUM_FRAMES
    wanted = [list(range(first, NUM_FRAMES, step)) for first, step in ((0, 2), (1, 4), (3, 7), (NUM_FRAMES - 1, 1))]
    wanted += [sorted(draw.sample(range(NUM_FRAMES), draw.randint(1, 12))) for _ in range(6)]
    for numbers in wanted:
        with CountingReader(path) as reader:
            np.testing.assert_array_equal(read(reader, numbers), [everything[number] for number in numbers])
    with CountingReader(path) as reader:
        for numbers in wanted:  # what one call has left out another may want
            np.testing.assert_array_equal(read(reader, numbers), [everything[number] for number in numbers])
        for number in (9, 10, 11, 12, 11):
            np.testing.assert_array_equal(read(reader, [number]), [everything[number]])


@pytest.mark.parametrize("name", [*X264, *X265, "no_b_frames.mp4"])
def test_what_nobody_wants_or_needs_is_not_decoded(name: str, folder: Path) -> None:
    """Of three B-frames in a row none is needed, or the middle one; of every tenth frame few are wanted."""
    with CountingReader(str(folder / name)) as reader:
        read(reader, [0, 10, 20])
        first = reader.pictures
    assert first >= 20 if name in NOTHING_TO_LEAVE_OUT else first <= 14


def test_a_file_that_gives_fewer_frames_when_some_are_left_out_is_read_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a decoder holds back no pictures, and finds out on the way that they come in another order."""
    path = str(folder / "pyramid.mp4")
    with PyavReader(path) as reader:
        expected = read(reader, list(range(NUM_FRAMES)))
    decode = PyavReader._decode

    def lose(reader: PyavReader, packets: Iterator[Packet[VideoStream]], first: int) -> Iterator[VideoFrame]:
        for picture in decode(reader, packets, first):
            if not (reader._left_out and reader._index.number_at(picture.pts) == 10):
                yield picture

    monkeypatch.setattr(PyavReader, "_decode", lose)
    with PyavReader(path) as reader:
        np.testing.assert_array_equal(read(reader, [0, 10, 20]), [expected[n] for n in (0, 10, 20)])
        assert not reader._left_out
