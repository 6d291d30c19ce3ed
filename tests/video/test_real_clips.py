"""Real clips of many kinds: every decoder gives the same frames, bit by bit where there is no reason not to."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from fouls.errors import VideoError
from fouls.video.decoders import open_video
from fouls.video.pyav_reader import PyavReader
from fouls.video.types import VideoInfo, VideoReader
from tests.video.test_decoders import torchcodec_works

needs_decord = pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this machine")
EXPECTED = {  # frames, fps, width, height, codec
    "GGSY.mp4": (355, 19.62, 320, 240, "h264"),
    "armwrestling.mp4": (280, 28.0, 340, 256, "h264"),
    "av1.mkv": (125, 25.0, 640, 360, "av1"),
    "bt709.mp4": (30, 30.0, 1280, 720, "h264"),
    "carving_ice.mp4": (200, 30.0, 360, 360, "h264"),
    "h264_10.mp4": (30, 30.0, 200, 200, "h264"),
    "h265.mp4": (10, 10.0, 128, 128, "hevc"),
    "mm_test.avi": (164, 25.0, 320, 240, "mpeg4"),
    "nasa.mp4": (390, 30000 / 1001, 480, 270, "h264"),
    "pancake.mkv": (310, 30.0, 426, 240, "h264"),
    "part_0.mp4": (32, 30.0, 340, 256, "h264"),
    "rot_0.mov": (3, 30.0, 568, 320, "h264"),
    "rot_90.mov": (3, 30.0, 320, 568, "h264"),
    "stdet.mp4": (57, 6.0, 340, 256, "h264"),
    "unordered.mov": (4, 32.0, 50, 50, "h264"),
}
TEN_BIT = {"h264_10.mp4"}
NOT_FOR_DECORD = {"av1.mkv", "h265.mp4", "mm_test.avi", *TEN_BIT}
MOST_FRAMES = 100
"""Compared of each clip: all of a short one, evenly spread ones of a long one."""


def sampled(reader: VideoReader) -> np.ndarray:
    return np.unique(np.linspace(0, reader.info.num_frames - 1, MOST_FRAMES).astype(np.int64))


def greatest_mean_difference(path: Path, decoder: str) -> float:
    """Between the frames of PyAV, read from the first to the last, and a decoder's: grey levels, of the worst frame."""
    with open_video(str(path), "pyav") as reference, open_video(str(path), decoder) as reader:
        assert reader.info == reference.info
        wanted = sampled(reader)
        frames = reader.read(wanted)
        differences = [
            np.abs(frame.astype(np.int16) - next(frames)).mean()
            for number, frame in enumerate(reference.read(np.arange(wanted[-1] + 1)))
            if number in wanted
        ]
        assert len(differences) == len(wanted)
        return float(max(differences))


def test_every_clip_is_known(shared: Path) -> None:
    assert {path.name for path in (shared / "videos").glob("*.[ma]*") if path.suffix != ".md"} == {
        *EXPECTED,
        "corrupted.mp4",
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_facts(name: str, shared: Path) -> None:
    num_frames, fps, width, height, codec = EXPECTED[name]
    with open_video(str(shared / "videos" / name)) as reader:
        assert reader.decoder == "pyav"
        assert reader.info == VideoInfo(
            num_frames=num_frames,
            fps=fps,
            width=width,
            height=height,
            duration_seconds=num_frames / fps,
            codec=codec,
        )
        last = list(reader.read(np.array([0, num_frames - 1])))[1]
        assert last.shape == (height, width, 3)


@needs_decord
@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - NOT_FOR_DECORD))
def test_decord_and_pyav_give_the_same_pictures(name: str, shared: Path) -> None:
    """Bit by bit: PyAV's conversion is set up to do what decord's does."""
    assert greatest_mean_difference(shared / "videos" / name, "decord") == 0.0


@needs_decord
@pytest.mark.parametrize(
    "path",
    [
        "mvfoul/test/action_0/clip_0.mp4",
        "mvfoul/test/action_1/clip_1.mp4",
        "mvfoul/test/action_2/clip_2.mp4",
    ],
)
def test_decord_and_pyav_agree_on_data_sets(path: str, shared: Path) -> None:
    assert greatest_mean_difference(shared / path, "decord") == 0.0


@pytest.mark.skipif(not torchcodec_works(), reason="torchcodec, an extra, or its FFmpeg is missing")
@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - {"h265.mp4", "mm_test.avi"}))
def test_torchcodec_and_pyav_give_the_same_pictures(name: str, shared: Path) -> None:
    """Bit by bit, but at 10 bits, where torchcodec's FFmpeg has the chroma samples half a row higher."""
    difference = greatest_mean_difference(shared / "videos" / name, "torchcodec")
    assert difference <= (2.1 if name in TEN_BIT else 0.0)


@pytest.mark.parametrize("decoder", ["pyav", pytest.param("decord", marks=needs_decord)])
def test_a_broken_stream_is_broken_for_all(decoder: str, shared: Path) -> None:
    with open_video(str(shared / "videos" / "corrupted.mp4"), decoder) as reader:
        assert reader.info.num_frames == 50
        with pytest.raises(VideoError) as caught:
            list(reader.read(np.arange(50)))
    assert (caught.value.code, caught.value.decoder) == ("decode_error", decoder)


def test_a_file_that_does_not_list_its_key_frames_leads_back_once(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has key frames at 0, 97, 135 and 160; a seek to the second ends at the first."""
    landings = []
    begin = PyavReader._begin

    def note(reader: PyavReader, packets: Iterator[Packet[VideoStream]], number: int) -> None:
        landings.append(number)
        begin(reader, packets, number)

    monkeypatch.setattr(PyavReader, "_begin", note)
    with open_video(str(shared / "videos" / "carving_ice.mp4"), "pyav") as reader:
        assert len(list(reader.read(np.array([0, 100, 140, 170, 199])))) == 5
    assert landings == [0, 0]  # at the beginning, and once when it was to go on at 97
