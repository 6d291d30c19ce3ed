"""Builds on real small files. That a file is not opened shows where its bytes are spoilt under an old size and time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pytest

from fouls.errors import ConfigError, ManifestError
from fouls.manifests.build import BuildReport, build_manifest, list_videos
from fouls.manifests.builders.listing import BuildOptions
from fouls.manifests.journal import journal_path, open_journal
from fouls.manifests.probing import ProbingOptions, probes_of
from fouls.manifests.table import absolute_paths, fingerprint_of, kind_of, read_manifest, root_of, write_manifest
from tests.manifests.tables import make_table, with_column, with_metadata
from tests.media import frame_numbered_video

PROBING = ProbingOptions(workers=1)


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """Frames → a video of so many."""
    folder = tmp_path_factory.mktemp("encoded")
    return {frames: frame_numbered_video(folder / f"{frames}.mp4", frames).read_bytes() for frames in (7, 12, 20)}


@pytest.fixture
def clips(tmp_path: Path, encoded: dict[int, bytes]) -> Path:
    """A tree of two classes."""
    for name, frames in (("run/a.mp4", 7), ("sit/b.mp4", 12)):
        put(tmp_path / "clips" / name, encoded[frames])
    return tmp_path / "clips"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def build(clips: Path, probing: ProbingOptions = PROBING) -> tuple[BuildReport, pa.Table]:
    listing = list_videos("videos", BuildOptions(sources=(clips,), task="action", label_from="parent"))
    path = clips.parent / "manifests" / "m.parquet"
    report = build_manifest(listing, path, probing)
    return report, read_manifest(path)


def counts(report: BuildReport) -> tuple[int, int, int, int]:
    return report.num_rows, report.num_probed, report.num_reused, report.num_hashed


def spoil(path: Path) -> None:
    """Other bytes, the same size and time."""
    before = path.stat()
    path.write_bytes(b"\0" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000))


def test_the_first_build_probes_everything(clips: Path, encoded: dict[int, bytes]) -> None:
    report, table = build(clips)
    assert counts(report) == (2, 2, 0, 0)
    assert report.failures == ()
    assert root_of(table) == clips
    assert absolute_paths(table) == [str(clips / "run" / "a.mp4"), str(clips / "sit" / "b.mp4")]
    assert table["video_id"].to_pylist() == table["sample_id"].to_pylist() == ["run/a", "sit/b"]
    assert table["num_frames"].to_pylist() == [7, 12]
    assert table["fps"].to_pylist() == [25.0, 25.0]
    assert (table["width"][0].as_py(), table["height"][0].as_py(), table["codec"][0].as_py()) == (96, 64, "h264")
    assert table["size_bytes"].to_pylist() == [len(encoded[7]), len(encoded[12])]
    assert table["content_hash"].to_pylist() == [hashlib.sha256(encoded[n]).hexdigest() for n in (7, 12)]
    assert table["modified_ns"].to_pylist() == [os.stat(path).st_mtime_ns for path in absolute_paths(table)]
    assert table["label.action"].to_pylist() == [0, 1]
    assert [file.name for file in report.path.parent.iterdir()] == ["m.parquet"]


def test_a_rebuild_opens_only_what_is_new(clips: Path, encoded: dict[int, bytes]) -> None:
    _, first = build(clips)
    for path in absolute_paths(first):
        spoil(Path(path))
    put(clips / "run" / "c.mp4", encoded[20])
    report, table = build(clips)
    assert counts(report) == (3, 1, 2, 0)
    assert table["num_frames"].to_pylist() == [7, 20, 12]
    assert table.take([0, 2])["content_hash"].to_pylist() == first["content_hash"].to_pylist()


def test_a_touched_file_is_hashed_and_not_probed(clips: Path) -> None:
    _, first = build(clips)
    touch(clips / "run" / "a.mp4")
    report, table = build(clips)
    assert counts(report) == (2, 0, 2, 1)
    assert table["modified_ns"][0].as_py() == 1_600_000_000_000_000_000
    assert fingerprint_of(table) == fingerprint_of(first)


def test_changed_content_is_probed_anew(clips: Path, encoded: dict[int, bytes]) -> None:
    _, first = build(clips)
    put(clips / "run" / "a.mp4", encoded[20])
    spoil(clips / "sit" / "b.mp4")  # the same size …
    touch(clips / "sit" / "b.mp4")  # … but another time, and another hash
    report, table = build(clips)
    assert counts(report) == (2, 2, 0, 0)
    assert table["num_frames"].to_pylist() == [20, None]
    assert set(first["content_hash"].to_pylist()).isdisjoint(table["content_hash"].to_pylist())
    assert [path for path, _ in report.failures] == [str(clips / "sit" / "b.mp4")]


def test_reprobe_opens_everything(clips: Path) -> None:
    build(clips)
    report, _ = build(clips, ProbingOptions(workers=1, reprobe=True))
    assert counts(report) == (2, 2, 0, 0)


def test_what_is_gone_is_counted(clips: Path) -> None:
    build(clips)
    (clips / "sit" / "b.mp4").unlink()
    report, table = build(clips)
    assert (report.num_rows, report.num_removed) == (1, 1)
    assert table["video_id"].to_pylist() == ["run/a"]


def test_a_broken_file_stays_as_a_row_and_is_not_probed_twice(clips: Path) -> None:
    put(clips / "run" / "broken.mp4", b"not a video")
    for probed in (3, 0):
        report, table = build(clips)
        assert report.num_probed == probed
        assert [path for path, _ in report.failures] == [str(clips / "run" / "broken.mp4")]
        row = table.slice(1, 1).to_pylist()[0]
        assert (row["video_id"], row["num_frames"], row["size_bytes"]) == ("run/broken", None, 11)
        assert row["content_hash"] == hashlib.sha256(b"not a video").hexdigest()
        assert row["probe_error"].startswith("unreadable: ")


def test_a_timeout_is_tried_again(clips: Path) -> None:
    report, table = build(clips)
    for name, value in (("num_frames", None), ("fps", None), ("probe_error", "timeout: more than 1 s")):
        table = with_column(table, name, [table[name][0].as_py(), value])
    write_manifest(table, report.path)
    report, table = build(clips)
    assert counts(report) == (2, 1, 1, 0)
    assert table["num_frames"].to_pylist() == [7, 12]


def test_an_interrupted_build_goes_on_from_its_journal(clips: Path) -> None:
    _, whole = build(clips)
    path = clips.parent / "manifests" / "m.parquet"
    path.unlink()
    known = probes_of(whole)
    first = str(clips / "run" / "a.mp4")
    with open_journal(path) as note:
        note(first, known[first])
    with journal_path(path).open("a") as journal:
        journal.write('{"path": "cut o')
    spoil(Path(first))
    report, table = build(clips)
    assert counts(report) == (2, 1, 1, 0)
    assert table.equals(whole)
    assert not journal_path(path).exists()


def csv(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text)
    return path


def build_csv(source: Path) -> tuple[BuildReport, pa.Table]:
    path = source.parent / "m.parquet"
    report = build_manifest(list_videos("csv", BuildOptions(sources=(source,))), path, PROBING)
    return report, read_manifest(path)


def test_segments_of_one_file(clips: Path) -> None:
    source = csv(clips, "path,start_frame,stop_frame\nsit/b.mp4,0,6\nsit/b.mp4,6,12\nsit/b.mp4,6,13\nsit/b.mp4,3,\n")
    for probed in (1, 0):
        report, table = build_csv(source)
        assert report.num_probed == probed
        assert table["video_id"].to_pylist() == ["sit/b:0-6", "sit/b:6-12", "sit/b:6-13", "sit/b:3-"]
        assert table["start_frame"].to_pylist() == [0, 6, 6, 3]
        assert table["stop_frame"].to_pylist() == [6, 12, 13, None]
        assert table["num_frames"].to_pylist() == [12] * 4
        assert table["probe_error"].to_pylist() == [
            None,
            None,
            "too_short: segment beyond the end: stop_frame is 13, the video has 12 frames",
            None,
        ]


def test_missing_files_and_urls(clips: Path) -> None:
    source = csv(
        clips,
        "path,num_frames,fps,width,height\nrun/a.mp4,,,,\nnix.mp4,,,,\nrun,,,,\nhttps://host/v.mp4,50,25,64,48\n"
        "https://host/w.mp4,,,,\n",
    )
    report, table = build_csv(source)
    errors = dict(zip(table["video_id"].to_pylist(), table["probe_error"].to_pylist(), strict=True))
    assert errors["run/a"] is None
    assert errors["nix"] == "unreadable: no such file"
    assert errors["run"] == "unreadable: a folder, not a file"
    assert errors["https://host/v"] is None
    assert (errors["https://host/w"] or "").startswith("unreadable: this URL is not asked for; --allow-urls")
    assert absolute_paths(table)[3] == "https://host/v.mp4"
    assert table["num_frames"].to_pylist() == [7, None, None, 50, None]
    assert [path for path, _ in report.failures] == [str(clips / "nix.mp4"), str(clips / "run"), "https://host/w.mp4"]


def test_one_id_twice_names_both_places(clips: Path, encoded: dict[int, bytes]) -> None:
    put(clips / "run" / "a.avi", encoded[7])
    with pytest.raises(ManifestError, match=r"video_id 'run/a' twice, for files .*a\.avi and .*a\.mp4"):
        build(clips)
    source = csv(clips, "path\nrun/a.mp4\nrun/a.mp4\n")
    with pytest.raises(ManifestError, match=r"twice, for the same file, listed at .*csv: line 2 and .*csv: line 3"):
        build_csv(source)


def test_samples_that_contradict_themselves_are_refused_before_probing(clips: Path) -> None:
    source = csv(clips, "path,sample_id,split\nrun/a.mp4,s,train\nsit/b.mp4,s,test\n")
    with pytest.raises(ManifestError, match="column 'split': 'test' for video 'sit/b', but 'train' for 'run/a'"):
        build_csv(source)
    assert not journal_path(clips / "m.parquet").exists()


def test_nothing_but_missing_files_is_suspicious(tmp_path: Path) -> None:
    source = tmp_path / "train.txt"
    source.write_text("a.mp4 0\nb.mp4 2\n")
    listing = list_videos("list", BuildOptions(sources=(source,)))
    report = build_manifest(listing, tmp_path / "m.parquet", PROBING)
    assert len(report.failures) == 2
    assert f"none of the 2 files is there; is {tmp_path} the folder that they lie in (--root)?" in report.notes
    assert "task 'action': 1 of 3 classes have no video, '1' for one" in report.notes


def test_a_newer_manifest_is_not_overwritten(clips: Path) -> None:
    import pyarrow.parquet as pq

    path = clips.parent / "manifests" / "m.parquet"
    write_manifest(make_table(), path)
    pq.write_table(with_metadata(make_table(), manifest_version="9"), path)
    with pytest.raises(ManifestError, match="manifest version 9"):
        build(clips)


@pytest.mark.parametrize(
    ("format_name", "given", "expected"),
    [
        ("movies", {}, "--format is 'movies'; allowed: videos, csv, list, vjepa, kinetics"),
        ("mvfoul", {"task": "a"}, "--task is not read by --format mvfoul; it is by: videos, csv, list, vjepa"),
        ("list", {"label_from": "parent"}, "--label-from is not read by --format list; it is by: videos"),
        ("videos", {"splits": ("a",)}, "--split is not read by --format videos; it is by: csv, list"),
        ("list", {"label_set": "legacy"}, "--label-set is not read by --format list; it is by: mvfoul"),
        ("csv", {"multi_label": True}, "--multi-label is not read by --format csv; it is by: list"),
        ("list", {"frame_offset": 0}, "--frame-offset is not read by --format list; it is by: mouse"),
        ("videos", {"merges": ("1,2",)}, "--merge is not read by --format videos; it is by: mouse"),
        ("videos", {"sources": ()}, "no source is given"),
    ],
)
def test_options_that_a_format_does_not_read(format_name: str, given: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        list_videos(format_name, BuildOptions(**{"sources": (Path(),), **given}))  # type: ignore[arg-type]


def test_any_number_of_labels_from_a_list_to_the_manifest(clips: Path) -> None:
    source = clips / "train.txt"
    source.write_text("run/a.mp4 2 0\nsit/b.mp4\n")
    listing = list_videos("list", BuildOptions(sources=(source,), multi_label=True))
    report = build_manifest(listing, clips.parent / "m.parquet", PROBING)
    table = read_manifest(clips.parent / "m.parquet")
    assert table["multi_label.action"].to_pylist() == [[0, 2], None]
    assert kind_of(table, "action") == "multi_label"
    assert "task 'action': 1 of 3 classes have no video, '1' for one" in report.notes


def test_real_videos(shared: Path, tmp_path: Path) -> None:
    listing = list_videos("videos", BuildOptions(sources=(shared / "videos",)))
    build_manifest(listing, tmp_path / "m.parquet", ProbingOptions(workers=2))
    table = read_manifest(tmp_path / "m.parquet")
    frames = dict(zip(table["video_id"].to_pylist(), table["num_frames"].to_pylist(), strict=True))
    assert len(frames) == 16
    assert {name: frames[name] for name in ("carving_ice", "mm_test", "part_0", "h265", "unordered")} == {
        "carving_ice": 200,
        "mm_test": 164,
        "part_0": 32,
        "h265": 10,
        "unordered": 4,
    }


def test_real_fouls(shared: Path, tmp_path: Path) -> None:
    listing = list_videos("mvfoul", BuildOptions(sources=(shared / "mvfoul" / "test",)))
    report = build_manifest(listing, tmp_path / "m.parquet", ProbingOptions(workers=2))
    table = read_manifest(tmp_path / "m.parquet")
    assert table["num_frames"].to_pylist() == [126] * 7 + [127, 126] + [None] * 6
    assert table["path"][0].as_py() == "test/action_0/clip_0.mp4"
    assert [error for _, error in report.failures] == ["unreadable: no such file"] * 6
    assert table["label.action"].to_pylist() == [1] * 3 + [0] * 3 + [3] * 3 + [2] * 2 + [0] * 4
    assert table["label.offence_severity"].to_pylist() == [2] * 9 + [3] * 2 + [2] * 4
