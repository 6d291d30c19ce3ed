"""Failed rows are tried again by their class of error; what keeps killing the decoder is left alone."""

from __future__ import annotations

import os
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fouls.cache.failures import failures
from fouls.cache.ledger import commit, read_ledger
from fouls.errors import ConfigError

from .conftest import NUM_VIDEOS, Project


def outcome(project: Project) -> dict[str, tuple[str, int, bool]]:
    """video_id → class of error, attempts, whether it is in quarantine."""
    rows = failures(project.store()).to_pylist()
    return {row["video_id"]: (row["code"], row["attempts"], row["quarantined"]) for row in rows}


def hang(project: Project, name: str) -> None:
    """A pipe that nobody writes to stops whoever opens it; the manifest is told that it is the video."""
    (project.videos / f"{name}.mp4").unlink()
    os.mkfifo(project.videos / f"{name}.mp4")
    found = os.stat(project.videos / f"{name}.mp4")
    path = project.path / "manifests" / "videos.parquet"
    table = pq.read_table(path)
    position = table["video_id"].to_pylist().index(name)
    for column, value in (("size_bytes", found.st_size), ("modified_ns", found.st_mtime_ns)):
        values = table[column].to_pylist()
        values[position] = value
        field = table.schema.field(column)
        table = table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))
    pq.write_table(table, path)


def test_only_the_classes_that_are_named_are_tried_again(project: Project) -> None:
    (project.videos / "v1.mp4").rename(project.path / "away.mp4")
    hang(project, "v6")
    project.extract(decode_timeout_seconds=1.0)
    assert outcome(project) == {"v1": ("unreadable", 1, False), "v6": ("timeout", 1, False)}
    (project.path / "away.mp4").rename(project.videos / "v1.mp4")
    project.extract(retry_failed=True, retry_only=("decode_error",))
    assert outcome(project) == {"v1": ("unreadable", 1, False), "v6": ("timeout", 1, False)}
    report = project.extract(retry_failed=True, retry_only=("unreadable", "changed"))
    assert report.summary.done == NUM_VIDEOS - 1
    assert outcome(project) == {"v6": ("timeout", 1, False)}


def test_a_video_that_keeps_hanging_the_decoder_is_left_alone(project: Project) -> None:
    hang(project, "v6")
    project.extract(decode_timeout_seconds=1.0)
    for record in read_ledger(project.store().path):  # it hung once more, some other day
        hung = tuple(replace(failure, attempts=2, processes_lost=2) for failure in record.failures)
        commit(project.store().path, replace(record, failures=hung))
    report = project.extract(retry_failed=True, decode_timeout_seconds=1.0)
    assert (report.summary.failed, report.summary.quarantined) == (1, 1)
    assert outcome(project) == {"v6": ("timeout", 3, True)}
    project.extract(retry_failed=True, decode_timeout_seconds=1.0)
    assert outcome(project) == {"v6": ("timeout", 3, True)}
    project.extract(retry_failed=True, include_quarantined=True, decode_timeout_seconds=1.0)
    assert outcome(project) == {"v6": ("timeout", 4, True)}


@pytest.mark.parametrize("options", [{"retry_only": ("timeout",)}, {"include_quarantined": True}])
def test_what_belongs_to_a_retry_needs_one(project: Project, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="says which failed rows are tried again: add --retry-failed"):
        project.options(**options)
