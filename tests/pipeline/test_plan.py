"""Which passes of which videos are planned, on manifests without files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fouls.cache.rows import append_rows, read_rows
from fouls.cache.spec import SamplingSpec
from fouls.errors import VideoError
from fouls.pipeline import plan
from fouls.pipeline.augment_options import AugmentOptions
from fouls.pipeline.known import known_videos
from fouls.pipeline.plan import numbered, plan_rows
from fouls.pipeline.sampling import sample_clips, stream
from tests.cache.conftest import make_spec

SPEC = make_spec(sampling=SamplingSpec(num_frames=4), augmentation=AugmentOptions(passes=1).resolve("uniform"))


def video(video_id: str, content: str | None = "ab", **changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"video_id": video_id, "sample_id": video_id, "view": 0, "content_hash": content}
    plain |= {"start_frame": None, "stop_frame": None, "num_frames": 20, "fps": 25.0, "probe_error": None}
    return plain | changes


class Index:
    """A row index that is planned again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "rows").mkdir()

    def plan(self, *videos: dict[str, Any], passes: int) -> list[tuple[str, int]]:
        """(video, pass) of every row that is added."""
        rows, retired = read_rows(self.path)
        new = plan_rows(pa.Table.from_pylist(list(videos)), SPEC, known=known_videos(rows, retired), passes=passes)
        if new.num_rows:
            append_rows(self.path, numbered(new, rows.num_rows))
        return list(zip(new["video_id"].to_pylist(), new["augment"].to_pylist(), strict=True))

    @property
    def retired(self) -> list[tuple[str, int]]:
        rows, retired = read_rows(self.path)
        gone = rows.filter(pa.array(retired))
        return list(zip(gone["video_id"].to_pylist(), gone["augment"].to_pylist(), strict=True))


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


def test_only_the_passes_that_lack_are_planned(index: Index) -> None:
    assert index.plan(video("a"), passes=1) == [("a", 0), ("a", 1)]
    assert index.plan(video("a"), passes=1) == []
    assert index.plan(video("a"), video("b"), passes=3) == [
        *(("a", 2), ("a", 3)),
        *(("b", 0), ("b", 1), ("b", 2), ("b", 3)),
    ]
    assert index.plan(video("a"), video("b"), passes=2) == []
    assert index.retired == []


def test_a_changed_video_retires_all_of_its_passes_and_more_passes_retire_none(index: Index) -> None:
    index.plan(video("a"), video("b"), passes=1)
    index.plan(video("a"), video("b"), passes=2)
    assert index.plan(video("a", "cd"), video("b"), passes=2) == [("a", 0), ("a", 1), ("a", 2)]
    assert index.retired == [("a", 0), ("a", 1), ("a", 2)]
    assert index.plan(video("a", "cd"), video("b", stop_frame=9), passes=1) == [("b", 0), ("b", 1)]
    assert index.retired == [(name, augment) for name, augment in [*(("a", 0), ("a", 1), ("b", 0), ("b", 1))]] + [
        *(("a", 2), ("b", 2))
    ]
    assert index.plan(video("a"), passes=0) == [("a", 0)]  # the first content again: planned anew
    assert ("a", 0) in index.retired


def test_a_video_that_cannot_be_sampled_keeps_its_one_row(index: Index) -> None:
    broken = video("a", None, num_frames=None, probe_error="unreadable: torn")
    empty = video("b", num_frames=20, start_frame=30)
    assert index.plan(broken, empty, passes=2) == [("a", 0), ("b", 0)]
    assert index.plan(broken, empty, passes=3) == []


def test_a_file_that_is_gone_gets_no_more_passes_and_keeps_those_it_has(index: Index) -> None:
    index.plan(video("a"), passes=1)
    assert index.plan(video("a", None, num_frames=None, probe_error="unreadable: gone"), passes=2) == []
    assert index.retired == []


def test_a_video_without_a_hash_draws_by_its_id(index: Index) -> None:
    """A URL whose facts a table gives."""
    assert index.plan(video("a", None), video("b", None), passes=1) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert index.plan(video("a", None), passes=2) == [("a", 2)]
    frames = read_rows(index.path)[0]["frame_indices"].to_pylist()
    assert frames[0] == frames[2]
    assert frames[1] != frames[3]


SAMPLINGS = [
    SamplingSpec(num_frames=4),
    SamplingSpec(kind="dense", num_frames=4, frame_stride=2, hop=3),
    SamplingSpec(kind="views", num_frames=4, frame_stride=2, num_clips=5, num_crops=3),
    SamplingSpec(kind="window", num_frames=4, window_start=10, window_stop=30, window_fps=10.0),
    SamplingSpec(kind="stream", num_frames=8, frame_stride=2, hop=16),
]


def clips_of(facts: dict[str, Any], sampling: SamplingSpec) -> list[Any] | str:
    """The frames of each clip of one video, or why it has none."""
    if facts["probe_error"] is not None:
        return str(facts["probe_error"])
    start, stop = facts["start_frame"] or 0, min(facts["stop_frame"] or 10**9, facts["num_frames"])
    try:
        if sampling.kind == "stream":
            clips = list(stream(max(0, stop - start), sampling.num_frames, sampling.frame_stride or 1))
        else:
            clips = list(sample_clips(max(0, stop - start), facts["fps"] or 0.0, sampling))
    except VideoError as error:
        return f"{error.code}: {error}"
    return [(clip + start).tolist() for clip in clips]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda sampling: sampling.kind)
@pytest.mark.parametrize("videos_at_once", [7, 1000])
def test_videos_planned_together_are_planned_as_each_alone(
    sampling: SamplingSpec, videos_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "VIDEOS_AT_ONCE", videos_at_once)
    rng = np.random.default_rng(0)
    videos = [video(f"v{number}", num_frames=int(rng.integers(1, 60)), view=number % 2) for number in range(60)]
    for number, facts in enumerate(videos):
        facts["fps"] = [25.0, 30.0, None][number % 3]
        facts["start_frame"] = int(rng.integers(0, 20)) if number % 4 == 1 else None
        facts["stop_frame"] = int(rng.integers(21, 80)) if number % 5 == 1 else None
    videos[5] |= {"num_frames": None, "fps": None, "probe_error": "no_video_stream: sound alone"}
    rows = iter(plan_rows(pa.Table.from_pylist(videos), make_spec(sampling=sampling)).to_pylist())
    number = 0
    for facts in videos:
        clips = clips_of(facts, sampling)
        for place, clip in enumerate(["error"] if isinstance(clips, str) else clips):
            for crop in range(1 if isinstance(clips, str) else sampling.num_crops):
                row = next(rows)
                assert (row["row"], row["video_id"], row["view"]) == (number, facts["video_id"], facts["view"])
                assert (row["clip"], row["crop"], row["augment"]) == (place, crop, 0)
                assert (row["segment_start"], row["segment_stop"]) == (facts["start_frame"], facts["stop_frame"])
                number += 1
                if isinstance(clips, str):
                    assert (row["plan_error"], row["frame_indices"], row["start_frame"]) == (clips, None, None)
                    continue
                assert (row["plan_error"], row["frame_indices"]) == (None, clip)
                assert (row["start_frame"], row["stop_frame"]) == (min(clip), max(clip) + 1)
                seconds = [edge / facts["fps"] if facts["fps"] else None for edge in (min(clip), max(clip) + 1)]
                assert [row["start_seconds"], row["stop_seconds"]] == seconds
    assert next(rows, None) is None
    assert number >= 60
