"""Which passes of which videos are planned, on manifests without files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fouls.cache.rows import append_rows, read_rows
from fouls.cache.spec import SamplingSpec
from fouls.pipeline.augment_options import AugmentOptions
from fouls.pipeline.plan import known_videos, numbered, plan_rows
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
