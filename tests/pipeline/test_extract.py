from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import VideoMAEImageProcessor, VideoMAEModel

from fouls.cache.store import Store
from fouls.errors import SpecMismatchError, StoreError
from fouls.pipeline.options import SamplingOptions
from fouls.pipeline.prepare import prepare
from fouls.video.decoders import open_video
from tests.cache.conftest import tree
from tests.media import frame_numbered_video

from .conftest import NUM_VIDEOS, Project, status_of

VOLATILE = {"seconds", "started_at", "finished_at", "attempts", "checksum"}
"""What two runs that did the same may differ in."""
HOW_IT_WAS_ASKED_FOR = {"zarr.json", "rows/zarr.json"}
"""Files with the options as they were typed, which may differ too."""


def contents(store: Store) -> dict[str, bytes]:
    """Everything that lies in a store, without the times in the ledger."""
    files = tree(store.path)
    for name in files:
        if name.startswith("ledger/0"):
            record = json.loads(files[name])
            files[name] = json.dumps({key: value for key, value in record.items() if key not in VOLATILE}).encode()
    return files


def test_every_video_becomes_a_row_that_equals_the_reference(project: Project) -> None:
    report = project.extract(precision="fp32")
    assert (report.new_rows, report.summary.done, report.summary.failed, report.summary.todo) == (NUM_VIDEOS,) * 2 + (
        0,
        0,
    )
    store = project.store()
    model = VideoMAEModel.from_pretrained(project.weights).eval()
    processor = VideoMAEImageProcessor.from_pretrained(project.weights)
    for row in store.rows().to_pylist():
        with open_video(str(project.videos / f"{row['video_id']}.mp4")) as reader:
            wanted = np.array(row["frame_indices"])
            unique = np.unique(wanted)
            frames = dict(zip(unique.tolist(), reader.read(unique), strict=True))
        inputs = processor([frames[index] for index in wanted.tolist()], return_tensors="pt")
        with torch.inference_mode():
            expected = model(**inputs).last_hidden_state.mean(1)[0].numpy()
        np.testing.assert_allclose(store["mean"][row["row"]], expected, rtol=2e-3, atol=1e-3)  # float16 on the disk


def test_the_row_index_says_which_frames(project: Project) -> None:
    project.extract()
    row = (
        project.store()
        .rows()
        .filter([video_id == "v0" for video_id in project.store().rows()["video_id"].to_pylist()])
        .to_pylist()[0]
    )
    assert row["frame_indices"][0] == 0
    assert row["frame_indices"][-1] == 11
    assert (row["start_frame"], row["stop_frame"]) == (0, 12)
    assert row["stop_seconds"] == pytest.approx(12 / 25)


def test_running_twice_changes_nothing(project: Project) -> None:
    project.extract()
    before = tree(project.store().path)
    report = project.extract()
    assert report.new_rows == 0
    assert tree(project.store().path) == before


def test_new_videos_alone_are_extracted(project: Project) -> None:
    project.extract()
    before = tree(project.store().path)
    project.add_video("new")
    project.build()
    report = project.extract()
    assert (report.new_rows, report.summary.done) == (1, NUM_VIDEOS + 1)
    after = tree(project.store().path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"mean/zarr.json"}  # the array has grown; no chunk, no record of before was touched
    assert project.store().rows()["row"].to_pylist()[-1] == 12  # a block of its own


def test_a_changed_video_is_planned_anew_and_its_old_row_retired(project: Project) -> None:
    project.extract()
    before = project.store()["mean"][:]
    (project.videos / "v3.mp4").unlink()
    frame_numbered_video(project.videos / "v3.mp4", 40)
    project.build()
    report = project.extract()
    assert (report.new_rows, report.summary.retired, report.summary.done) == (1, 1, NUM_VIDEOS)
    np.testing.assert_array_equal(project.store()["mean"][: len(before)], before)
    assert project.store().rows()["status"].to_pylist().count("retired") == 1


def test_features_outlive_a_video_that_is_gone(project: Project) -> None:
    project.extract()
    (project.videos / "v3.mp4").unlink()
    project.build()
    report = project.extract()
    assert (report.new_rows, report.summary.done) == (0, NUM_VIDEOS)


def break_pictures(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start, stop = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.unlink()
    path.write_bytes(data)


def test_bad_videos_cost_their_own_rows(project: Project) -> None:
    """One can't be decoded, one is no video, one vanishes and one changes after the probe, one hangs the decoder."""
    break_pictures(project.videos / "v1.mp4")
    (project.videos / "v2.mp4").unlink()
    (project.videos / "v2.mp4").write_text("no video")
    project.build()
    (project.videos / "v4.mp4").unlink()
    (project.videos / "v5.mp4").unlink()
    frame_numbered_video(project.videos / "v5.mp4", 33)
    report = project.extract()
    assert (report.summary.done, report.summary.failed, report.summary.todo) == (NUM_VIDEOS - 4, 4, 0)
    failed = {failure.video_id: failure for record in project.store().ledger() for failure in record.failures}
    codes = {video_id: failure.code for video_id, failure in failed.items()}
    assert codes == {"v1": "decode_error", "v2": "unreadable", "v4": "unreadable", "v5": "changed"}
    assert "build the manifest again" in failed["v5"].message
    store = project.store()
    rows = {row["video_id"]: row["row"] for row in store.rows().to_pylist()}
    for video_id in codes:
        assert np.isnan(store["mean"][rows[video_id]]).all()


def test_a_file_that_hangs_the_decoder_costs_the_timeout(project: Project) -> None:
    """A pipe that nobody writes to stops whoever opens it; the manifest is told that it is a video."""
    probed = os.stat(project.videos / "v6.mp4")
    (project.videos / "v6.mp4").unlink()
    os.mkfifo(project.videos / "v6.mp4")
    import pyarrow.parquet as pq

    path = project.path / "manifests" / "videos.parquet"
    table = pq.read_table(path)
    sizes = [
        0 if name == "v6" else size
        for name, size in zip(*[table[c].to_pylist() for c in ("video_id", "size_bytes")], strict=True)
    ]
    times = [
        os.stat(project.videos / "v6.mp4").st_mtime_ns if name == "v6" else time
        for name, time in zip(*[table[c].to_pylist() for c in ("video_id", "modified_ns")], strict=True)
    ]
    index = table.schema.get_field_index
    table = table.set_column(index("size_bytes"), table.schema.field("size_bytes"), [sizes])
    table = table.set_column(index("modified_ns"), table.schema.field("modified_ns"), [times])
    pq.write_table(table, path)
    assert probed.st_size > 0
    report = project.extract(decode_timeout_seconds=2.0)
    assert (report.summary.done, report.summary.failed) == (NUM_VIDEOS - 1, 1)
    (failure,) = [failure for record in project.store().ledger() for failure in record.failures]
    assert (failure.video_id, failure.code) == ("v6", "timeout")


def test_retry_gives_the_bytes_of_a_run_without_failures(project: Project) -> None:
    project.extract("undisturbed")
    sound = (project.videos / "v1.mp4").read_bytes()
    mtime = os.stat(project.videos / "v1.mp4").st_mtime_ns
    (project.videos / "v1.mp4").rename(project.path / "away.mp4")
    assert project.extract().summary.failed == 1
    (project.videos / "v1.mp4").write_bytes(sound)
    os.utime(project.videos / "v1.mp4", ns=(mtime, mtime))
    assert project.extract().summary.failed == 1  # only when asked for
    report = project.extract(retry_failed=True)
    assert (report.new_rows, report.summary.done, report.summary.failed) == (0, NUM_VIDEOS, 0)
    mine, other = contents(project.store()), contents(project.store("undisturbed"))
    assert mine == other


def test_a_damaged_block_with_failures_is_done_anew(project: Project) -> None:
    (project.videos / "v1.mp4").rename(project.path / "away.mp4")
    project.extract()
    chunk = project.store().path / "mean" / "c" / "0" / "0"
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    (project.path / "away.mp4").rename(project.videos / "v1.mp4")
    assert project.extract(retry_failed=True).summary.done == NUM_VIDEOS
    assert np.isfinite(project.store()["mean"][:]).all()


def test_another_spec_is_refused_with_what_differs(project: Project) -> None:
    project.extract()
    with pytest.raises(SpecMismatchError) as refused:
        prepare(project.options(pools=("temporal",), sampling=SamplingOptions(kind="center")))
    message = str(refused.value)
    assert "pools is ['mean'] there, ['temporal'] here" in message
    assert "sampling.kind is 'uniform' there, 'center' here" in message
    assert f"--out {project.path}/cache/videomae-" in message
    assert "\n" not in message


def test_limit_takes_the_first_videos_and_the_rest_comes_later(project: Project) -> None:
    assert project.extract(limit=3).summary.rows == 3
    report = project.extract()
    assert (report.new_rows, report.summary.done) == (NUM_VIDEOS - 3, NUM_VIDEOS)


def test_batches_do_not_change_a_row_by_more_than_rounding(project: Project) -> None:
    project.extract("one", batch_size=1, stored_dtype="float32")
    project.extract("four", batch_size=4, stored_dtype="float32")
    difference = np.abs(project.store("one")["mean"][:] - project.store("four")["mean"][:])
    assert difference.max() < 1e-5


def test_another_number_of_threads_changes_a_row_by_rounding_alone(project: Project) -> None:
    """What two workers with a thread each may differ in from one process with two."""
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            project.extract(f"threads{threads}", stored_dtype="float32")
    finally:
        torch.set_num_threads(before)
    one, two = project.store("threads1")["mean"][:], project.store("threads2")["mean"][:]
    assert np.abs(one - two).max() <= 2e-6 * np.abs(one).max()


def test_several_pools_and_dense_clips_in_one_pass(project: Project) -> None:
    sampling = SamplingOptions(kind="dense", frame_stride=1, hop=8)
    report = project.extract(pools=("mean", "temporal"), sampling=sampling, stored_dtype="float32")
    store = project.store()
    assert sorted(store.pools) == ["mean", "temporal"]
    assert report.summary.rows > NUM_VIDEOS
    np.testing.assert_allclose(store["temporal"][:].mean(1), store["mean"][:], atol=1e-5)
    assert set(status_of(store)) == {f"v{number}" for number in range(NUM_VIDEOS)}


def test_views_give_clips_times_crops(project: Project) -> None:
    project.extract(limit=2, sampling=SamplingOptions(kind="views", num_clips=2, num_crops=3, frame_stride=1))
    rows = project.store().rows().filter([True] * 6 + [False] * 6).to_pylist()
    assert [(row["clip"], row["crop"]) for row in rows] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    values = project.store()["mean"][:3].astype(np.float32)
    assert not np.allclose(values[0], values[2])


def test_a_value_beyond_float16_stops_the_run_and_says_what_to_do(project: Project, tmp_path: Path) -> None:
    model = VideoMAEModel.from_pretrained(project.weights)
    with torch.no_grad():
        for parameter in model.encoder.layer[-1].output.parameters():
            parameter.mul_(1e7)
    model.save_pretrained(tmp_path / "huge")
    (tmp_path / "huge" / "preprocessor_config.json").write_bytes(
        (project.weights / "preprocessor_config.json").read_bytes()
    )
    with pytest.raises(StoreError, match="is not finite as float16"):
        project.extract("huge", weights=str(tmp_path / "huge"))
    assert project.extract("wide", weights=str(tmp_path / "huge"), stored_dtype="float32").summary.done == NUM_VIDEOS
