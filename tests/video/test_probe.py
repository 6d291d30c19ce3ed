"""Probing: what is found, and what a bad file costs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fouls.video.probe import Probe, hash_file, probe_file, probe_files
from fouls.video.types import VideoInfo
from tests.media import frame_numbered_video, write_audio

INFO = VideoInfo(num_frames=30, fps=12.5, width=96, height=64, duration_seconds=2.4, codec="h264")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return frame_numbered_video(tmp_path / "video.mp4", 30, fps=12.5)


def failed(error: str, path: Path | None = None) -> Probe:
    if path is None:
        return Probe(info=None, size_bytes=None, modified_ns=None, content_hash=None, error=error)
    status = path.stat()
    content_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    return Probe(
        info=None, size_bytes=status.st_size, modified_ns=status.st_mtime_ns, content_hash=content_hash, error=error
    )


def test_a_video_has_facts_a_size_a_time_and_a_hash(video: Path) -> None:
    status = video.stat()
    assert probe_file(str(video)) == Probe(
        info=INFO,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        content_hash=hashlib.sha256(video.read_bytes()).hexdigest(),
        error=None,
    )
    assert hash_file(str(video)) == hashlib.sha256(video.read_bytes()).hexdigest()


def test_a_file_that_is_written_anew_is_probed_anew(video: Path) -> None:
    assert probe_file(str(video)).info == INFO
    frame_numbered_video(video, 7, fps=12.5)
    info = probe_file(str(video)).info
    assert info is not None
    assert info.num_frames == 7


def test_what_can_not_be_decoded_has_a_hash_all_the_same(tmp_path: Path) -> None:
    (text := tmp_path / "text.mp4").write_text("no video")
    (empty := tmp_path / "empty.mp4").touch()
    sound = write_audio(tmp_path / "sound.m4a")
    assert probe_file(str(text)) == failed("unreadable: invalid data found when processing input", text)
    assert probe_file(str(empty)) == failed("unreadable: invalid data found when processing input", empty)
    assert probe_file(str(sound)) == failed("no_video_stream: no video stream", sound)


def test_what_is_no_file_has_none(tmp_path: Path) -> None:
    assert probe_file(str(tmp_path / "nowhere.mp4")) == failed("unreadable: no such file")
    assert probe_file(str(tmp_path)) == failed("unreadable: a folder, not a file")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert probe_file(str(tmp_path / "pipe.mp4")) == failed("unreadable: a pipe, not a file")
    (tmp_path / "zeros.mp4").symlink_to("/dev/zero")
    assert probe_file(str(tmp_path / "zeros.mp4")) == failed("unreadable: a device, not a file")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    assert probe_file(str(tmp_path / "loop.mp4")) == failed("unreadable: too many levels of symbolic links")


def test_results_have_the_order_of_the_paths_whatever_happens_to_some(video: Path, tmp_path: Path) -> None:
    (endless := tmp_path / "hangs.mp4").touch()
    os.truncate(endless, 2**42)  # a hole; nobody hashes it in time
    (text := tmp_path / "text.mp4").write_text("no video")
    paths = [str(path) for path in (endless, video, text, tmp_path / "nowhere.mp4", video)]
    seen: list[tuple[str, Probe]] = []
    probes = probe_files(paths, workers=2, timeout_seconds=1.5, on_done=lambda path, probe: seen.append((path, probe)))
    assert [probe.info for probe in probes] == [None, INFO, None, None, INFO]
    assert probes[0] == failed("timeout: took longer than 1.5 s and was stopped")
    assert [(probe.error or "").partition(":")[0] for probe in probes] == [
        "timeout",
        "",
        "unreadable",
        "unreadable",
        "",
    ]
    assert sorted(path for path, _ in seen) == sorted(paths)
    assert seen[-1][0] == str(endless)


def test_no_files_at_all() -> None:
    assert probe_files([], workers=4, timeout_seconds=1.0) == []
