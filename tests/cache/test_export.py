"""What is exported is read back with the library of the format, and compared with what was put in."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from webdataset.tariterators import group_by_keys, tar_file_expander

from fouls.cache.blocks import BlockWriter, empty_features
from fouls.cache.export.about import About, Steps
from fouls.cache.export.formats import FORMATS, ExportReport, export
from fouls.cache.export.videos import Segment, VideoFacts
from fouls.cache.layout import resize_arrays
from fouls.cache.ledger import BlockRecord, to_ranges
from fouls.cache.rows import ROW_SCHEMA, append_rows
from fouls.cache.spec import SamplingSpec
from fouls.cache.store import Store, open_store
from fouls.errors import ConfigError, DamagedStoreError, ExportError

from .conftest import Templates, copy_of, index, make_spec, tree
from .test_verify import flip

DENSE = make_spec(sampling=SamplingSpec(kind="dense", num_frames=16, frame_stride=1, hop=16))
CLIPS = {"a/x": 3, "b": 2, "c": 1}
FPS = 25.0
Make = Callable[..., Store]


def clips(first_row: int = 0) -> pa.Table:
    """Videos of several clips of 16 frames."""
    records: list[dict[str, Any]] = []
    for video_id, count in CLIPS.items():
        for clip in range(count):
            start = 16 * clip
            records.append(
                {
                    **dict.fromkeys(ROW_SCHEMA.names, 0),
                    "row": first_row + len(records),
                    "video_id": video_id,
                    "sample_id": video_id[0],
                    "clip": clip,
                    "start_frame": start,
                    "stop_frame": start + 16,
                    "frame_indices": list(range(start, start + 16)),
                    "start_seconds": start / FPS,
                    "stop_seconds": (start + 16) / FPS,
                    "content_hash": "h",
                    "segment_start": None,
                    "segment_stop": None,
                    "plan_error": None,
                }
            )
    return pa.Table.from_pylist(records, schema=ROW_SCHEMA)


def features(pool: str, row: int) -> np.ndarray[Any, Any]:
    """What row holds in a pool."""
    shape = {"mean": (6,), "temporal": (2, 6)}[pool]
    return (row + np.arange(np.prod(shape)).reshape(shape) / 16).astype(np.float16)


def put(store: Store, rows: list[int]) -> None:
    """Call rows done, with :func:`features`."""
    for block in sorted({row // store.block_rows for row in rows}):
        values = empty_features(store, block)
        here = [row for row in rows if row // store.block_rows == block]
        for pool, target in values.items():
            for row in here:
                target[row - block * store.block_rows] = features(pool, row)
        BlockWriter(store).commit(values, BlockRecord(block=block, done=to_ranges(here)))


@pytest.fixture
def dense(tmp_path: Path, templates: Templates, make_store: Make) -> Store:
    """Six clips of three videos, all done; two rows of another video that is retired."""

    def make_anew(path: Path) -> None:
        shutil.copytree(make_store(num_videos=0, spec=DENSE).path, path)
        append_rows(path, index(0, ["b", "c"], content_hash="old"))
        append_rows(path, clips(4))
        resize_arrays(path, 10)
        put(open_store(path), [0, 1, 4, 5, 6, 7, 8, 9])

    return copy_of(templates, "dense", make_anew, tmp_path / "dense")


EXPECTED = {"a-x": [4, 5, 6], "b": [7, 8], "c": [9]}


def test_npy(dense: Store, tmp_path: Path) -> None:
    report = export(dense, to="npy", out=tmp_path / "out", pool="temporal")
    assert report == ExportReport(videos=3, rows=6, missing={}, left_out={})
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *(f"{name}.{ending}" for name in EXPECTED for ending in ("npy", "json")),
        "export.json",
    }
    for name, rows in EXPECTED.items():
        values = np.load(tmp_path / "out" / f"{name}.npy", allow_pickle=False)
        assert values.dtype == np.float16
        np.testing.assert_array_equal(values, [features("temporal", row) for row in rows])
    plain = json.loads((tmp_path / "out" / "a-x.json").read_text())
    assert plain == {
        "video_id": "a/x",
        "sample_id": "a",
        "view": 0,
        "split": "",
        "labels": {},
        "fps": 25.0,
        "missing_rows": 0,
        "clip": [0, 1, 2],
        "crop": [0, 0, 0],
        "start_frame": [0, 16, 32],
        "stop_frame": [16, 32, 48],
        "start_seconds": [0.0, 0.64, 1.28],
        "stop_seconds": [0.64, 1.28, 1.92],
    }
    mark = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (mark["format"], mark["pool"], mark["shape"], mark["rows"]) == ("npy", "temporal", [2, 6], 6)
    assert mark["fingerprint"] == dense.fingerprint


def test_parquet(dense: Store, tmp_path: Path) -> None:
    facts = {"b": VideoFacts(split="train", labels={"action": "dive"})}
    export(dense, to="parquet", out=tmp_path / "out", pool="temporal", facts=facts)
    table = pq.read_table(tmp_path / "out" / "features.parquet")
    assert table["video_id"].to_pylist() == ["a/x"] * 3 + ["b"] * 2 + ["c"]
    assert table["start_frame"].to_pylist() == [0, 16, 32, 0, 16, 0]
    assert table["split"].to_pylist() == ["", "", "", "train", "train", ""]
    assert json.loads(table["labels"][3].as_py()) == {"action": "dive"}
    shape = json.loads(table.schema.metadata[b"fouls.shape"])
    values = np.array(table["feature"].to_pylist(), dtype=np.float32).reshape(-1, *shape)
    np.testing.assert_array_equal(values, [features("temporal", row) for row in range(4, 10)])


def test_parquet_in_several_row_groups(dense: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fouls.cache.export.parquet.GROUP_BYTES", 30)
    export(dense, to="parquet", out=tmp_path / "out", pool="mean")
    file = pq.ParquetFile(tmp_path / "out" / "features.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [3, 3]
    assert np.array(file.read()["feature"].to_pylist())[:, 0].tolist() == [4, 5, 6, 7, 8, 9]


def test_hdf5(dense: Store, tmp_path: Path) -> None:
    facts = {"a/x": VideoFacts(split="test", labels={"many": ["x", "y"]}, fps=50.0)}
    export(dense, to="hdf5", out=tmp_path / "out", pool="mean", facts=facts)
    with h5py.File(tmp_path / "out" / "features.h5") as file:
        assert set(file) == set(EXPECTED)
        for name, rows in EXPECTED.items():
            np.testing.assert_array_equal(file[name]["features"][:], [features("mean", row) for row in rows])
        group = file["a-x"]
        np.testing.assert_array_equal(group["stop_seconds"][:], [0.64, 1.28, 1.92])
        about = json.loads(group["about"][()])
        assert (about["video_id"], about["split"], about["fps"]) == ("a/x", "test", 50.0)
        assert about["labels"] == {"many": ["x", "y"]}
        assert file.attrs["fingerprint"] == dense.fingerprint


def test_hdf5_without_h5py(dense: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ExportError, match=r"needs h5py: pip install 'fouls\[export\]'"):
        export(dense, to="hdf5", out=tmp_path / "out", pool="mean")
    assert list(tmp_path.glob("*out*")) == []


def test_webdataset(dense: Store, tmp_path: Path) -> None:
    facts = {"b": VideoFacts(split="train", labels={"action": "dive"})}
    export(dense, to="webdataset", out=tmp_path / "one", pool="mean", facts=facts)
    (shard,) = (tmp_path / "one").glob("*.tar")
    with shard.open("rb") as stream:
        samples = list(group_by_keys(tar_file_expander([{"url": shard.name, "stream": stream}])))
    assert [sample["__key__"] for sample in samples] == list(EXPECTED)
    for sample in samples:
        values = np.load(io.BytesIO(sample["npy"]), allow_pickle=False)
        np.testing.assert_array_equal(values, [features("mean", row) for row in EXPECTED[sample["__key__"]]])
    about = [json.loads(sample["json"]) for sample in samples]
    assert [video["labels"] for video in about] == [{}, {"action": "dive"}, {}]
    assert about[0]["start_seconds"] == [0.0, 0.64, 1.28]


def test_webdataset_in_shards(dense: Store, tmp_path: Path) -> None:
    from fouls.cache.export.videos import read_videos
    from fouls.cache.export.webdataset import write

    write(tmp_path, read_videos(dense, "mean", {}), About(store=dense, pool="mean"), shard_bytes=1)
    shards = sorted(tmp_path.glob("*.tar"))
    assert [shard.name for shard in shards] == [f"features-{number:06d}.tar" for number in range(3)]
    for shard, name in zip(shards, EXPECTED, strict=True):
        with tarfile.open(shard) as file:
            assert file.getnames() == [f"{name}.npy", f"{name}.json"]


def actionformer_steps(folder: Path, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], dict[str, Any]]:
    """What ActionFormer's data set makes of a video: features (T, D), segments in steps, its entry."""
    config = json.loads((folder / "dataset.json").read_text())
    entry = json.loads((folder / config["json_file"]).read_text())["database"][name]
    values = np.load(folder / config["feat_folder"] / f"{config['file_prefix'] or ''}{name}{config['file_ext']}")
    seconds = np.array([found["segment"] for found in entry["annotations"]])
    return values, (seconds * entry["fps"] - 0.5 * config["num_frames"]) / config["feat_stride"], entry


def test_actionformer(dense: Store, tmp_path: Path) -> None:
    segments = (
        Segment(start_frame=8, stop_frame=24, label="run"),
        Segment(start_frame=24, stop_frame=40, label="dive"),
    )
    facts = {"a/x": VideoFacts(split="validation", segments=segments, fps=FPS, num_frames=45)}
    report = export(dense, to="actionformer", out=tmp_path / "out", pool="mean", facts=facts)
    assert report.left_out == {}
    values, steps, entry = actionformer_steps(tmp_path / "out", "a-x")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [features("mean", row) for row in (4, 5, 6)])
    # a step is about 16 frames: frame 8 is the middle of the first, frame 24 that of the second
    np.testing.assert_allclose(steps, [[0, 1], [1, 2]], atol=1e-12)
    assert (entry["subset"], entry["duration"], entry["fps"]) == ("validation", 45 / FPS, FPS)
    assert [(found["label"], found["label_id"]) for found in entry["annotations"]] == [("run", 1), ("dive", 0)]
    config = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert {key: config[key] for key in ("feat_stride", "num_frames", "input_dim", "num_classes", "default_fps")} == {
        "feat_stride": 16,
        "num_frames": 16,
        "input_dim": 6,
        "num_classes": 2,
        "default_fps": None,
    }
    _, none, other = actionformer_steps(tmp_path / "out", "c")
    assert (none.size, other["subset"], other["duration"]) == (0, "all", 16 / FPS)


def test_actionformer_with_the_steps_within_clips(dense: Store, tmp_path: Path) -> None:
    facts = {"b": VideoFacts(segments=(Segment(start_frame=4, stop_frame=28, label="x"),))}
    export(dense, to="actionformer", out=tmp_path / "out", pool="temporal", facts=facts)
    values, steps, _ = actionformer_steps(tmp_path / "out", "b")
    np.testing.assert_array_equal(values, np.concatenate([features("temporal", 7), features("temporal", 8)]))
    np.testing.assert_allclose(steps, [[0, 3]])  # steps of 8 frames: frame 4 is the middle of 0, frame 28 that of 3


@pytest.mark.parametrize(
    ("sampling", "pool", "expected"),
    [
        ({"kind": "dense", "frame_stride": 4, "hop": 8}, "mean", (8, 61, 1)),
        ({"kind": "stream", "frame_stride": 2, "hop": 32}, "mean", (32, 32, 1)),
        ({"kind": "dense", "frame_stride": 4, "hop": 64}, "temporal", (32, 32, 2)),
        ({"kind": "dense", "frame_stride": 4, "hop": 8}, "temporal", "--hop 64, not 8"),
        ({"kind": "uniform"}, "mean", "sampling 'uniform' has no stride in time"),
        ({"kind": "center", "frame_stride": 1}, "temporal", "sampling 'center' has no stride in time"),
    ],
)
def test_how_features_follow_time(
    make_store: Make, sampling: dict[str, Any], pool: str, expected: tuple[int, ...] | str
) -> None:
    about = About(store=make_store(spec=make_spec(sampling=SamplingSpec(num_frames=16, **sampling))), pool=pool)
    if isinstance(expected, tuple):
        stride, span, steps_a_row = expected
        assert about.steps() == Steps(stride_frames=stride, span_frames=span, steps_a_row=steps_a_row)
    else:
        with pytest.raises(ExportError, match=expected):
            about.steps()


def test_a_segment_of_a_file_begins_at_its_own_zero(make_store: Make, tmp_path: Path) -> None:
    store = make_store(num_videos=0, spec=DENSE)
    rows = clips().slice(3, 2)
    moved = {"row": [0, 1], "start_frame": [100, 116], "stop_frame": [116, 132], "segment_start": [100, 100]}
    moved |= {"start_seconds": [4.0, 4.64], "stop_seconds": [4.64, 5.28]}  # type: ignore[dict-item]
    for name, values in moved.items():
        field = ROW_SCHEMA.field(name)
        rows = rows.set_column(ROW_SCHEMA.get_field_index(name), field, pa.array(values, field.type))
    append_rows(store.path, rows)
    resize_arrays(store.path, 2)
    put(store, [0, 1])
    facts = {"b": VideoFacts(segments=(Segment(start_frame=108, stop_frame=124, label="x"),), num_frames=132)}
    export(store, to="actionformer", out=tmp_path / "out", pool="mean", facts=facts)
    _, steps, entry = actionformer_steps(tmp_path / "out", "b")
    np.testing.assert_allclose(steps, [[0, 1]], atol=1e-12)
    assert entry["duration"] == pytest.approx(32 / FPS)


@pytest.mark.parametrize("to", list(FORMATS))
def test_rows_that_are_missing_are_said(make_store: Make, tmp_path: Path, to: str) -> None:
    store = make_store(num_videos=0, spec=DENSE)
    append_rows(store.path, clips())
    resize_arrays(store.path, 6)
    put(store, [0, 2, 3, 4])
    report = export(store, to=to, out=tmp_path / "out", pool="mean")
    assert report.missing == {"a/x": 1, "c": 1}
    assert report.left_out["c"] == "none of its rows is done"
    if to == "actionformer":  # times would be wrong
        assert report.left_out["a/x"].startswith("1 rows are missing")
        assert (report.videos, report.rows) == (1, 2)
    else:
        assert list(report.left_out) == ["c"]
        assert (report.videos, report.rows) == (2, 4)
    if to == "npy":
        np.testing.assert_array_equal(np.load(tmp_path / "out" / "a-x.npy")[:, 0], [0, 2])
        assert json.loads((tmp_path / "out" / "a-x.json").read_text())["start_frame"] == [0, 32]


@pytest.mark.parametrize("to", list(FORMATS))
def test_ids_of_strangers_stay_in_the_folder(make_store: Make, tmp_path: Path, to: str) -> None:
    ids = ["../../escaped", "/etc/passwd", "a\0b", "x" * 3000, "..", "[red]x", "\x1b[2J"]
    store = make_store(num_videos=0, spec=DENSE)
    append_rows(store.path, index(0, ids))
    resize_arrays(store.path, len(ids))
    put(store, list(range(len(ids))))
    before = set(tmp_path.rglob("*"))
    facts = {video_id: VideoFacts(fps=25.0) for video_id in ids}
    report = export(store, to=to, out=tmp_path / "deep" / "out", pool="mean", facts=facts)
    assert report.videos == len(ids)
    new = set(tmp_path.rglob("*")) - before
    assert all(file.is_relative_to(tmp_path / "deep") for file in new)
    assert {file for file in new if file.parent == tmp_path / "deep"} == {tmp_path / "deep" / "out"}
    if to == "webdataset":
        with tarfile.open(tmp_path / "deep" / "out" / "features-000000.tar") as file:
            assert all(name == Path(name).name for name in file.getnames())
    if to == "npy":
        found = {json.loads(file.read_text()).get("video_id") for file in (tmp_path / "deep" / "out").glob("*.json")}
        assert found - {None} == set(ids)


def test_a_folder_that_is_not_free(dense: Store, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("mine", "link"):
        for overwrite in (False, True):
            with pytest.raises(ExportError, match="is there and is no export"):
                export(dense, to="npy", out=tmp_path / name, pool="mean", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    export(dense, to="npy", out=tmp_path / "out", pool="mean")
    with pytest.raises(ExportError, match="is there already: choose another --out, or --overwrite it"):
        export(dense, to="parquet", out=tmp_path / "out", pool="mean")
    export(dense, to="parquet", out=tmp_path / "out", pool="mean", overwrite=True)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"features.parquet", "export.json"}
    (tmp_path / "empty").mkdir()
    export(dense, to="npy", out=tmp_path / "empty", pool="mean")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("to", list(FORMATS))
def test_an_export_that_fails_leaves_nothing(dense: Store, tmp_path: Path, to: str) -> None:
    export(dense, to=to, out=tmp_path / "kept", pool="mean")
    before = tree(tmp_path / "kept")
    flip(dense.path / "mean" / "c" / "2" / "0", 3)
    for out in (tmp_path / "new", tmp_path / "kept"):
        with pytest.raises(DamagedStoreError, match=r"block 2 of pool 'mean' is damaged: `fouls verify .* --repair`"):
            export(dense, to=to, out=out, pool="mean", overwrite=True)
    assert not (tmp_path / "new").exists()
    assert tree(tmp_path / "kept") == before
    assert not list(tmp_path.glob(".*"))


def test_what_can_not_be_asked_for(dense: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has several pools: choose one with --pool: mean, temporal"):
        export(dense, to="npy", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="--pool is 'cls'"):
        export(dense, to="npy", out=tmp_path / "out", pool="cls")
    with pytest.raises(ConfigError, match="--to is 'csv'; allowed: npy, parquet, hdf5, webdataset, actionformer"):
        export(dense, to="csv", out=tmp_path / "out", pool="mean")


def test_augmented_passes_are_left_out(make_store: Make, tmp_path: Path) -> None:
    store = make_store(num_videos=2)
    rows = index(4, ["v0", "v1"])
    passes = pa.array([1, 1], pa.int16())
    append_rows(store.path, rows.set_column(ROW_SCHEMA.get_field_index("augment"), ROW_SCHEMA.field("augment"), passes))
    resize_arrays(store.path, 6)
    put(store, [0, 1, 4, 5])
    assert export(store, to="npy", out=tmp_path / "out", pool="mean").rows == 2
    assert np.load(tmp_path / "out" / "v1.npy")[0, 0] == 1
