"""Damaged files, and sound ones that trip decoders up: right frames from them, or an error that says what is wrong."""

from __future__ import annotations

import random
import struct
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest

from fouls.errors import VideoError
from fouls.video.decoders import open_video
from tests.media import frame_numbered_video, numbered_frames, write_video
from tests.video.test_decoders import each_decoder, numbers

needs_decord = pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this machine")


def damaged(path: Path, start: float, stop: float) -> Path:
    """The file with a part of its bytes gone, as shares of its length."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * stop)
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    return path


def noise(num_frames: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(num_frames)]


def test_damage_in_the_middle_costs_the_frames_from_there_on(tmp_path: Path) -> None:
    path = damaged(write_video(tmp_path / "damaged.mp4", noise(60), gop=30, options={"bf": "0"}), 0.4, 0.45)
    with open_video(str(path), "pyav") as reader:
        with pytest.raises(VideoError, match="after frame") as caught:
            list(reader.read(np.arange(60)))
        error = caught.value
        assert (error.code, error.decoder) == ("decode_error", "pyav")
        assert error.last_good_frame is not None
        assert 20 <= error.last_good_frame < 30
        assert len(list(reader.read(np.arange(error.last_good_frame + 1)))) == error.last_good_frame + 1
        assert len(list(reader.read(np.arange(30, 60)))) == 30  # from the key frame after the damage


@needs_decord
def test_decord_refuses_a_file_with_a_key_frame_that_is_gone(tmp_path: Path) -> None:
    path = damaged(write_video(tmp_path / "damaged.mp4", noise(60), gop=30, options={"bf": "0"}), 0.4, 0.45)
    with pytest.raises(VideoError) as caught, open_video(str(path), "decord") as reader:
        list(reader.read(np.arange(60)))
    assert (caught.value.code, str(caught.value)) == (
        "unreadable",
        "decord begins at key frames that are none; --decoder pyav reads it",
    )


def with_flipped_bits(path: Path, start: float, stop: float, count: int = 12) -> Path:
    """The file with some bits of its pictures flipped, which is what H.264 decoders paint over."""
    data, draw = bytearray(path.read_bytes()), random.Random(0)
    for _ in range(count):
        data[draw.randrange(int(len(data) * start), int(len(data) * stop))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return path


@each_decoder
def test_a_picture_that_the_decoder_had_to_make_up_is_an_error(decoder: str, tmp_path: Path) -> None:
    if decoder == "torchcodec":
        pytest.skip("its FFmpeg paints over damage, and does not say so")
    path = with_flipped_bits(write_video(tmp_path / "flipped.mp4", noise(60), gop=30, options={"bf": "0"}), 0.4, 0.45)
    with av.open(path) as container:
        container.streams.video[0].thread_type = "NONE"
        assert sum(1 for _ in container.decode(video=0)) == 60  # it complains of nothing
    with pytest.raises(VideoError) as caught, open_video(str(path), decoder) as reader:
        list(reader.read(np.arange(60)))
    assert (caught.value.code, caught.value.decoder) == ("decode_error", decoder)


def test_what_lies_before_and_behind_flipped_bits_is_the_frames_of_the_whole_file(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", noise(60), gop=30, options={"bf": "0"})
    (flipped := tmp_path / "flipped.mp4").write_bytes(whole.read_bytes())
    with_flipped_bits(flipped, 0.4, 0.45)
    with open_video(str(whole), "pyav") as reader:
        expected = list(reader.read(np.arange(60)))
    with open_video(str(flipped), "pyav") as reader:
        with pytest.raises(VideoError, match="after frame") as caught:
            list(reader.read(np.arange(60)))
        last_good = caught.value.last_good_frame
        assert last_good is not None
        assert 20 <= last_good < 30
        readable = [*range(last_good + 1), *range(30, 60)]
        for number, frame in zip(readable, reader.read(np.array(readable)), strict=True):
            np.testing.assert_array_equal(frame, expected[number])


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuv422p10le"])
def test_colours_stay_where_they_are_when_each_row_has_its_own(pix_fmt: str, tmp_path: Path) -> None:
    """A grey picture with one row of red: in 4:2:2 and 4:4:4 the red is in that row and in no other."""
    picture = np.full((64, 96, 3), 128, dtype=np.uint8)
    picture[20] = (230, 30, 30)
    path = write_video(tmp_path / "row.mkv", [picture] * 2, codec="ffv1", pix_fmt=pix_fmt)
    with open_video(str(path), "pyav") as reader:
        (frame,) = reader.read(np.array([1]))
    np.testing.assert_allclose(frame, picture, atol=4)


@needs_decord
@pytest.mark.parametrize(
    ("ending", "codec", "pix_fmt", "reason"),
    [
        (".mov", "qtrle", "gray", "decord has other colours in pal8"),
        (".mkv", "ffv1", "yuv410p", "decord has other colours in yuv410p"),
        (".mp4", "libx264", "yuv420p10le", "decord has other colours in yuv420p10le"),
        (".avi", "mpeg4", "yuv420p", "decord loses frames in avi"),
    ],
)
def test_decord_is_not_asked_where_it_would_be_wrong(
    ending: str, codec: str, pix_fmt: str, reason: str, tmp_path: Path
) -> None:
    path = write_video(tmp_path / f"video{ending}", numbered_frames(4), codec=codec, pix_fmt=pix_fmt)
    with pytest.raises(VideoError, match=reason):
        open_video(str(path), "decord")
    with open_video(str(path)) as reader:
        assert (reader.decoder, numbers(reader, [1, 3])) == ("pyav", [1, 3])


@needs_decord
def test_decord_is_not_asked_where_the_header_counts_frames_that_are_not_there(tmp_path: Path) -> None:
    """It dies of that: it allocates what the header says."""
    path = frame_numbered_video(tmp_path / "video.mp4", 30)
    data = path.read_bytes()
    count = data.index(b"stts") + 12  # version and flags, entries, then the samples of the first
    path.write_bytes(data[:count] + (2**32 - 1).to_bytes(4, "big") + data[count + 4 :])
    with pytest.raises(VideoError, match=r"decord believes a header with \d+ frames where there are 30"):
        open_video(str(path), "decord")
    with open_video(str(path)) as reader:
        assert numbers(reader, [0, 15, 29]) == [0, 15, 29]


@needs_decord
def test_decord_is_not_believed_where_it_begins_at_frames_that_are_no_key_frames(tmp_path: Path) -> None:
    path = frame_numbered_video(tmp_path / "video.mp4", 60, options={"sc_threshold": "0"})
    data = path.read_bytes()
    second = data.index(b"stss") + 4 + 4 + 4 + 4
    assert int.from_bytes(data[second : second + 4], "big") == 13
    path.write_bytes(data[:second] + (8).to_bytes(4, "big") + data[second + 4 :])
    with pytest.raises(VideoError, match="decord begins at key frames that are none"):
        open_video(str(path), "decord")
    with open_video(str(path)) as reader:
        assert numbers(reader, [0, 20, 40]) == [0, 20, 40]


def test_a_title_in_another_encoding_is_no_reason_to_refuse_a_video(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    with av.open(path, "w") as container:
        container.metadata["title"] = "Café"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in numbered_frames(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert "Café".encode() in data
    path.write_bytes(data.replace("Café".encode(), b"Caf\xe9 "))
    with open_video(str(path)) as reader:
        assert numbers(reader, [0, 1, 2]) == [0, 1, 2]


def test_a_list_of_files_is_no_video(tmp_path: Path) -> None:
    frame_numbered_video(tmp_path / "part.mp4", 3)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'part.mp4'\n")
    with pytest.raises(VideoError, match=r"a playlist \(concat\): list the files that it names") as caught:
        open_video(str(tmp_path / "list.mp4"))
    assert caught.value.code == "unreadable"


def test_a_small_file_that_declares_gigantic_pictures_is_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.avi"
    write_video(path, numbered_frames(2), codec="rawvideo", pix_fmt="yuv420p")
    data = path.read_bytes()
    format_chunk = data.index(b"strf") + 8  # BITMAPINFOHEADER: its size, width, height
    data = data[: format_chunk + 4] + struct.pack("<II", 9000, 9000) + data[format_chunk + 12 :]
    path.write_bytes(data)
    with pytest.raises(VideoError, match="frames of 9000×9000 pixels; at most 67 million are read") as caught:
        open_video(str(path))
    assert caught.value.code == "unreadable"


def test_a_file_that_was_cut_off_has_the_frames_that_are_whole(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", numbered_frames(60), options={"bf": "0"})
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with open_video(str(cut), "pyav") as reader:
        count = reader.info.num_frames
        assert 10 < count < 50
        assert numbers(reader, list(range(count))) == list(range(count))


def test_a_recording_that_begins_in_the_middle_of_a_group_begins_with_its_first_key_frame(tmp_path: Path) -> None:
    whole = frame_numbered_video(tmp_path / "whole.ts", 90)
    data = whole.read_bytes()
    (cut := tmp_path / "cut.ts").write_bytes(data[len(data) // 3 // 188 * 188 :])
    with open_video(str(cut)) as reader:
        first = numbers(reader, [0])[0]
        assert 10 < first < 60
        assert reader.info.num_frames == 90 - first
        assert numbers(reader, list(range(90 - first))) == list(range(first, 90))


def test_a_file_whose_own_index_leads_astray_is_read_from_its_beginning(tmp_path: Path) -> None:
    """An entry is lost, so that what the index calls frame 35 is frame 36, and so on."""
    path = frame_numbered_video(tmp_path / "damaged.avi", 120, codec="mpeg4")
    data = path.read_bytes()
    entry = data.index(b"idx1") + 8 + 16 * 30
    path.write_bytes(data[:entry] + b"xxxx" + data[entry + 4 :])
    with open_video(str(path), "pyav") as reader:
        assert reader.info.num_frames == 120
        assert numbers(reader, [0, 50, 90, 119]) == [0, 50, 90, 119]
