from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fouls
from fouls.errors import ManifestError
from fouls.manifests.table import (
    absolute_paths,
    fingerprint_of,
    kind_of,
    read_manifest,
    root_of,
    tasks_of,
    write_manifest,
)
from tests.manifests.tables import CLASSES, make_table, with_column, with_metadata


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table = make_table(labels=[2, None, 0], replay_speed=[1.0, None, 4.5])
    write_manifest(table, tmp_path / "deep" / "m.parquet")
    read = fouls.read_manifest(tmp_path / "deep" / "m.parquet")
    assert read.equals(table)
    assert tasks_of(read) == {"action": list(CLASSES)}
    assert root_of(read) == Path("/data")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["m.parquet"]


def test_an_invalid_table_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_manifest(make_table(), path)
    with pytest.raises(ManifestError, match="column 'view': -1 is negative"):
        write_manifest(make_table(view=[0, -1, 0]), path)
    assert read_manifest(path)["view"].to_pylist() == [0, 0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["m.parquet"]


def test_nothing_there_says_what_helps(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest; `fouls manifest build SOURCE --format FORMAT`"):
        read_manifest(tmp_path / "manifests")
    with pytest.raises(ManifestError, match=r"no manifest \(\*\.parquet\) in this folder; `fouls manifest build"):
        read_manifest(tmp_path)


def test_what_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    path.write_text("hello")
    with pytest.raises(ManifestError, match=r"m\.parquet: not a readable Parquet file"):
        read_manifest(path)
    pq.write_table(pa.table({"path": ["a.mp4"]}), path)
    with pytest.raises(ManifestError, match=r"m\.parquet: not a manifest"):
        read_manifest(path)


def test_a_newer_version_is_refused_before_its_columns_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    newer = with_metadata(with_column(make_table(), "colour", pa.array([1, 2, 3])), manifest_version="7")
    pq.write_table(newer, path)
    with pytest.raises(ManifestError, match=r"m\.parquet: manifest version 7, this fouls reads up to 1"):
        read_manifest(path)


def test_a_folder_is_read_as_one(tmp_path: Path) -> None:
    write_manifest(make_table(["x"], root="/b", task="motion"), tmp_path / "b.parquet")
    write_manifest(make_table(["z", "y"], root="/a"), tmp_path / "a.parquet")
    merged = read_manifest(tmp_path)
    assert merged["video_id"].to_pylist() == ["z", "y", "x"]
    assert merged["path"].to_pylist() == ["/a/z.mp4", "/a/y.mp4", "/b/x.mp4"]
    assert root_of(merged) is None
    assert absolute_paths(merged) == merged["path"].to_pylist()
    assert tasks_of(merged) == {"action": list(CLASSES), "motion": list(CLASSES)}
    assert merged["label.action"].to_pylist() == [0, 1, None]
    assert merged["label.motion"].to_pylist() == [None, None, 0]


def test_one_root_stays_relative(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_manifest(make_table([name]), tmp_path / f"{name}.parquet")
    merged = read_manifest(tmp_path)
    assert root_of(merged) == Path("/data")
    assert merged["path"].to_pylist() == ["a.mp4", "b.mp4"]
    assert absolute_paths(merged) == ["/data/a.mp4", "/data/b.mp4"]


def test_files_that_contradict_each_other_are_both_named(tmp_path: Path) -> None:
    write_manifest(make_table(["x"]), tmp_path / "a.parquet")
    write_manifest(make_table(["y"], classes=("run", "sit", "jump")), tmp_path / "b.parquet")
    with pytest.raises(ManifestError) as error:
        read_manifest(tmp_path)
    assert "task 'action' has class 1 'jump' in one manifest and 'sit' in another" in str(error.value)
    assert str(tmp_path / "a.parquet") in str(error.value)
    assert str(tmp_path / "b.parquet") in str(error.value)

    write_manifest(make_table(["y", "x"]), tmp_path / "b.parquet")
    with pytest.raises(ManifestError) as error:
        read_manifest(tmp_path)
    assert f"video_id 'x' is in {tmp_path / 'a.parquet'} and in {tmp_path / 'b.parquet'}" in str(error.value)


def test_kinds(tmp_path: Path) -> None:
    videos = make_table(["x"])
    frames = with_column(make_table(["y"]).drop_columns(["label.action"]), "frame_label.action", [[0]])
    many = with_column(
        make_table(["z"], task="attributes").drop_columns(["label.attributes"]), "multi_label.attributes", [[0, 2]]
    )
    assert [kind_of(videos, "action"), kind_of(frames, "action"), kind_of(many, "attributes")] == [
        "label",
        "frame_label",
        "multi_label",
    ]
    for name, table in (("a", frames), ("b", many), ("c", videos)):
        write_manifest(table, tmp_path / f"{name}.parquet")
    merged = read_manifest(tmp_path)
    assert tasks_of(merged) == {"action": list(CLASSES), "attributes": list(CLASSES)}
    assert (kind_of(merged, "action"), kind_of(merged, "attributes")) == ("label", "multi_label")
    assert merged["multi_label.attributes"].to_pylist() == [None, [0, 2], None]
    with pytest.raises(ManifestError, match="task 'motion' is not in the manifest; it has action, attributes"):
        kind_of(merged, "motion")


def test_a_task_is_of_one_kind_in_all_manifests(tmp_path: Path) -> None:
    many = with_column(make_table(["y"]).drop_columns(["label.action"]), "multi_label.action", [[0, 2]])
    write_manifest(make_table(["x"]), tmp_path / "a.parquet")
    write_manifest(many, tmp_path / "b.parquet")
    with pytest.raises(
        ManifestError, match=r"task 'action' has one label a video in .*a\.parquet and any number in .*b"
    ):
        read_manifest(tmp_path)


def test_urls_and_absolute_paths_pass_through() -> None:
    table = make_table(path=["clips/a.mp4", "https://host/b.mp4?x=1", "/elsewhere/c.mp4"])
    assert absolute_paths(table) == ["/data/clips/a.mp4", "https://host/b.mp4?x=1", "/elsewhere/c.mp4"]


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    table = make_table()
    fingerprint = fingerprint_of(table)
    assert len(fingerprint) == 64
    write_manifest(table, tmp_path / "m.parquet")
    assert fingerprint_of(read_manifest(tmp_path / "m.parquet")) == fingerprint
    assert fingerprint_of(pa.concat_tables([table.slice(0, 1), table.slice(1)])) == fingerprint
    assert fingerprint_of(table.select(table.column_names[::-1])) == fingerprint
    assert fingerprint_of(make_table(root="/elsewhere", modified_ns=[1, 2, 3])) == fingerprint
    changes = [
        make_table(labels=[0, 1, None]),
        make_table(classes=("run", "jump", "lie")),
        make_table(["a", "c", "b"]),
        make_table(content_hash=["1" * 64] * 3),
    ]
    assert len({fingerprint, *map(fingerprint_of, changes)}) == 5
