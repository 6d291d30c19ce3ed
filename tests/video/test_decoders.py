"""The decoders: the same frames from each of them, and only right ones."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fouls.errors import ConfigError, VideoError
from fouls.video import decord_reader
from fouls.video.decoders import DECODERS, candidates, open_video
from fouls.video.torchcodec_reader import NOT_LOADED
from fouls.video.types import VideoReader
from tests.media import frame_numbered_video, read_frame_number, write_audio, write_video

OPEN_GROUPS = "open-gop=1:bframes=3:b-adapt=0:scenecut=0"
X265 = "log-level=none:pools=1:bframes=3"
KINDS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": lambda path: frame_numbered_video(path, 90),
    "h264.mkv": lambda path: frame_numbered_video(path, 90),
    "h264.ts": lambda path: frame_numbered_video(path, 90),
    "intra.mp4": lambda path: frame_numbered_video(path, 90, gop=1),
    "one_key.mp4": lambda path: frame_numbered_video(path, 90, gop=1000, options={"sc_threshold": "0"}),
    "open_groups.mp4": lambda path: frame_numbered_video(path, 90, options={"x264-params": OPEN_GROUPS}),
    "intra_refresh.mp4": lambda path: frame_numbered_video(path, 90, options={"x264-params": "intra-refresh=1"}),
    "hevc.mp4": lambda path: frame_numbered_video(path, 90, codec="libx265", options={"x265-params": X265}),
    "mpeg4.avi": lambda path: frame_numbered_video(path, 90, codec="mpeg4"),
    "b_frames.avi": lambda path: frame_numbered_video(path, 90, codec="mpeg4", options={"bf": "2"}),
    "vp9.webm": lambda path: frame_numbered_video(path, 90, codec="libvpx-vp9"),
    "av1.mkv": lambda path: frame_numbered_video(path, 90, codec="libsvtav1", options={"preset": "12"}),
}
UNTRUSTED = {"h264.ts", "open_groups.mp4", "intra_refresh.mp4", "hevc.mp4", "mpeg4.avi", "b_frames.avi"}
REFUSED = {"decord": UNTRUSTED | {"av1.mkv"}, "torchcodec": UNTRUSTED, "pyav": set()}


def torchcodec_works() -> bool:
    try:
        from torchcodec.decoders import VideoDecoder

        VideoDecoder(b"no video")
    except (ImportError, OSError):
        return False
    except (RuntimeError, ValueError) as error:  # some versions look for FFmpeg at the first file
        return NOT_LOADED not in str(error)
    raise AssertionError("torchcodec takes anything for a video")


needs = {
    "pyav": (),
    "decord": pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this machine"),
    "torchcodec": pytest.mark.skipif(not torchcodec_works(), reason="torchcodec, an extra, or its FFmpeg is missing"),
}
each_decoder = pytest.mark.parametrize("decoder", [pytest.param(name, marks=marks) for name, marks in needs.items()])
"""Of those that decode on CPUs."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("videos")

    def write(name: str) -> Path:
        path = folder / name
        return path if path.exists() else KINDS[name](path)

    return write


def numbers(reader: VideoReader, indices: list[int]) -> list[int]:
    return [read_frame_number(frame) for frame in reader.read(np.array(indices, dtype=np.int64))]


@pytest.mark.parametrize("kind", KINDS)
@each_decoder
def test_a_decoder_gives_the_frames_that_are_asked_for_or_refuses(
    kind: str, decoder: str, videos: Callable[[str], Path]
) -> None:
    path = str(videos(kind))
    if kind in REFUSED[decoder]:
        with pytest.raises(VideoError) as caught:
            open_video(path, decoder)
        assert (caught.value.code, caught.value.decoder) == ("unreadable", decoder)
        return
    with open_video(path, decoder) as reader:
        assert reader.decoder == decoder
        assert (reader.info.num_frames, reader.info.fps) == (90, 25.0)
        assert (reader.info.width, reader.info.height) == (96, 64)
        assert reader.info.duration_seconds == 3.6
        assert numbers(reader, list(range(90))) == list(range(90))
        assert numbers(reader, []) == []
        draw = random.Random(0)
        for _ in range(40):  # also backwards from one to the next
            indices = sorted(draw.sample(range(90), draw.choice([1, 2, 5])))
            assert numbers(reader, indices) == indices
    for _ in range(10):
        indices = sorted(draw.sample(range(90), 2))
        with open_video(path, decoder) as reader:
            assert numbers(reader, indices) == indices


@pytest.mark.parametrize("kind", KINDS)
def test_auto_reads_every_kind(kind: str, videos: Callable[[str], Path]) -> None:
    with open_video(str(videos(kind))) as reader:
        assert numbers(reader, [0, 41, 89]) == [0, 41, 89]
        assert reader.decoder == "pyav"


@each_decoder
def test_frames_are_upright_rgb_of_their_own(decoder: str, tmp_path: Path) -> None:
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    picture[:, :] = (30, 60, 200)
    picture[:32, :48] = (220, 40, 40)  # top left
    turned = {0: (0, 0), 90: (1, 0), 180: (1, 1), 270: (0, 1)}  # degrees counter-clockwise → which half: rows, columns
    for rotation, (row, column) in turned.items():
        path = write_video(tmp_path / f"{rotation}.mp4", [picture] * 3, rotation=rotation)
        with open_video(str(path), decoder) as reader:
            first, second = reader.read(np.array([0, 2]))
            height, width = (64, 96) if rotation % 180 == 0 else (96, 64)
            assert (reader.info.height, reader.info.width) == (height, width)
            assert first.shape == second.shape == (height, width, 3)
            assert first.dtype == np.uint8
            assert not np.shares_memory(first, second)
            y, x = (height // 4 + row * height // 2, width // 4 + column * width // 2)
            np.testing.assert_allclose(first[y, x], (220, 40, 40), atol=6)
            np.testing.assert_allclose(first[height - y, width - x], (30, 60, 200), atol=6)


@each_decoder
def test_indices_that_do_not_ascend_or_do_not_exist_are_a_bug(decoder: str, videos: Callable[[str], Path]) -> None:
    with open_video(str(videos("h264.mp4")), decoder) as reader:
        for indices in ([3, 2], [1, 1], [-1], [90]):
            with pytest.raises(ValueError, match="must ascend"):
                next(reader.read(np.array(indices)))


@each_decoder
def test_files_that_are_no_videos_say_what_they_are(decoder: str, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    sound = write_audio(tmp_path / "sound.mp4")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    expected = {text: "unreadable", sound: "no_video_stream", empty: "unreadable", tmp_path: "unreadable"}
    for path, code in {**expected, tmp_path / "nowhere.mp4": "unreadable"}.items():
        with pytest.raises(VideoError) as caught:
            open_video(str(path), decoder)
        assert caught.value.code == code, path
        assert "\n" not in str(caught.value)


@each_decoder
def test_names_that_look_like_urls_are_files(
    decoder: str, tmp_path: Path, videos: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pipe:1 – 50%.mp4"
    (tmp_path / name).write_bytes(videos("h264.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    with open_video(name, decoder) as reader:
        assert numbers(reader, [7]) == [7]


@pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this machine")
def test_decord_is_not_given_large_files(tmp_path: Path) -> None:
    path = frame_numbered_video(tmp_path / "large.mp4", 3)
    os.truncate(path, decord_reader.MAX_FILE_BYTES + 1)  # the rest is a hole
    with pytest.raises(VideoError, match="none over 128 MiB; --decoder pyav reads it"):
        open_video(str(path), "decord")
    with open_video(str(path)) as reader:
        assert reader.decoder == "pyav"
        assert numbers(reader, [0, 2]) == [0, 2]


def test_which_decoders_are_tried() -> None:
    assert set(needs) == DECODERS.keys() - {"cuda"}
    for name in needs:
        assert candidates(name) == (name,)
    assert candidates("auto") == ("pyav",)
    assert candidates("cuda") == ("cuda", "pyav")
    assert candidates("cuda:1") == ("cuda:1", "pyav")
    for name in ("ffmpeg", "pyav:1", "cuda:", "cuda:x"):
        with pytest.raises(ConfigError, match=f"decoder is '{name}'; allowed: auto, pyav, decord, torchcodec, cuda"):
            candidates(name)


@pytest.mark.skipif(torchcodec_works(), reason="torchcodec and its FFmpeg are installed")
def test_torchcodec_without_torchcodec_says_what_to_install(videos: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'fouls\[torchcodec\]', and FFmpeg") as caught:
        open_video(str(videos("h264.mp4")), "torchcodec")
    assert "\n" not in str(caught.value)
