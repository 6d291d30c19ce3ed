"""A store and a manifest become samples with labels; what is missing is counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import zarr

from fouls.cache.spec import SamplingSpec
from fouls.cache.store import Store
from fouls.errors import ConfigError, ManifestError, RunError, StoreError
from fouls.heads.data import DataOptions, load_samples
from fouls.heads.pool import choose_pool
from fouls.heads.tasks import Task, tasks_to_train
from tests.heads.worlds import Clip, Video, make_manifest, make_store

TASKS = {"action": ["run", "jump", "sit"], "foul": ["no", "yes"]}


def ramp(value: float) -> dict[str, np.ndarray[Any, Any]]:
    """Features that tell which row they are: value, value + 0.25, …"""
    return {"mean": value + np.arange(4) / 4, "temporal": value + np.arange(8).reshape(2, 4) / 8}


def video(video_id: str, value: float, *, status: str = "done", **fields: Any) -> Video:
    return Video(video_id=video_id, clips=[Clip(features=ramp(value), status=status)], **fields)


def load(folder: Path, videos: list[Video], **options: Any) -> Any:
    manifest = make_manifest(videos, TASKS)
    return read(make_store(folder / "store", videos), manifest, tasks_to_train(manifest), **options)


def read(store: Store, manifest: pa.Table, tasks: Sequence[Task], pool: str = "mean", **options: Any) -> Any:
    """Samples and coverage."""
    data = load_samples(
        [store], manifest, DataOptions(pools=(pool,), tasks=tuple(tasks)), **{"splits": ["train"], **options}
    )
    return data.samples, data.coverage


def test_views_and_labels_are_joined_on_the_video(tmp_path: Path) -> None:
    videos = [
        video("b/0", 1, sample_id="b", labels={"action": 2, "foul": None}),
        video("a/1", 2, sample_id="a", view=1, labels={"action": 0, "foul": 1}),
        video("a/0", 3, sample_id="a", view=0, labels={"action": None, "foul": 1}),
        video("c/0", 4, sample_id="c"),
        video("d/0", 5, sample_id="d", split="test", labels={"action": 1}),
    ]
    samples, coverage = load(tmp_path, videos)
    assert list(samples.sample_ids) == ["b", "a", "c"]
    assert samples.labels["action"].tolist() == [2, 0, -1]
    assert samples.labels["foul"].tolist() == [-1, 1, -1]
    batch = samples.gather(torch.arange(3))
    x, mask = batch.x, batch.mask
    assert x[..., 0, 0].tolist()[1] == [3, 2]  # view 0, then view 1
    assert mask[..., 0].tolist() == [[True, False], [True, True], [True, False]]
    assert (coverage.labelled, coverage.missing, coverage.partial) == (2, 0, 0)
    assert coverage.describe() is None


def test_missing_features_are_counted_with_their_reasons(tmp_path: Path) -> None:
    labels = {"action": 1}
    videos = [
        video("good", 1, labels=labels),
        video("failed", 2, labels=labels, status="failed"),
        video("todo", 3, labels=labels, status="todo"),
        video("other", 4, labels=labels, extracted_hash="before"),
        video("half/0", 5, sample_id="half", labels=labels),
        video("half/1", 6, sample_id="half", view=1, labels=labels, status="failed"),
        video("unlabelled", 7, status="failed"),
        video("gone", 8, labels=labels, content_hash=None),  # the file is gone; its features stay good
    ]
    store = make_store(tmp_path / "store", videos)
    manifest = make_manifest([*videos, video("new", 9, labels=labels)], TASKS)
    samples, coverage = read(store, manifest, tasks_to_train(manifest, ["action"]))
    assert list(samples.sample_ids) == ["good", "half", "gone"]
    assert (coverage.labelled, coverage.missing, coverage.partial) == (7, 4, 1)
    assert coverage.reasons == {
        "failed": 2,
        "changed since they were extracted": 1,
        "not extracted": 1,
        "not planned": 1,
    }
    assert coverage.describe() == (
        "of 7 labelled samples 4 have no features and 1 lack some of their videos (videos: 2 failed, "
        "1 changed since they were extracted, 1 not extracted, 1 not planned); trained and measured is what is there"
    )


def test_no_features_at_all_is_an_error(tmp_path: Path) -> None:
    videos = [video("a", 1, labels={"action": 0}, status="failed"), video("b", 2)]
    with pytest.raises(RunError, match=r"none of the 1 samples of split 'train' .* has features .*1 failed"):
        load(tmp_path, videos)
    with pytest.raises(RunError, match="the manifest has no split 'test'; it has 'train'"):
        load(tmp_path / "again", videos, splits=["test"])


def test_no_labels_is_an_error_unless_predictions_are_wanted(tmp_path: Path) -> None:
    videos = [video("a", 1)]
    with pytest.raises(RunError, match="no sample of split 'train' carries a label of action, foul"):
        load(tmp_path / "one", videos)
    samples, _ = load(tmp_path / "two", videos, need_labels=False)
    assert len(samples) == 1


def test_a_done_row_that_is_not_finite_is_named(tmp_path: Path) -> None:
    videos = [video(f"v{number}", number, labels={"action": 0}) for number in range(10)]
    store = make_store(tmp_path / "store", videos)
    zarr.open_group(store.path, mode="r+")["mean"][9, 2] = np.nan
    manifest = make_manifest(videos, TASKS)
    with pytest.raises(StoreError, match=r"row 9 \(video_id 'v9'\) of pool 'mean' .*`fouls verify"):
        read(store, manifest, tasks_to_train(manifest, ["action"]))


def test_views_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    videos = [
        video("a/0", 1, sample_id="a", labels={"action": 0}),
        video("a/1", 2, sample_id="a", view=1, labels={"action": 1}),
    ]
    with pytest.raises(ManifestError, match=r"label\.action.*views of the sample 'a'"):
        load(tmp_path, videos)


def test_temporal_rows_are_steps_and_dense_clips_follow_each_other(tmp_path: Path) -> None:
    clips = [
        Clip(features=ramp(10 * number), clip=number, status="failed" if number == 1 else "done")
        for number in (2, 0, 1)
    ]
    videos = [Video(video_id="a", clips=clips, labels={"action": 0, "foul": 0})]
    dense = SamplingSpec(kind="dense", num_frames=16, frame_stride=1, hop=16)
    manifest = make_manifest(videos, TASKS)
    store = make_store(tmp_path / "dense", videos, sampling=dense)
    samples, _ = read(store, manifest, tasks_to_train(manifest), "temporal")
    batch = samples.gather(torch.tensor([0]))
    x, mask = batch.x, batch.mask
    assert x[0, 0, :, 0].tolist() == [0, 0.5, 20, 20.5]  # clip 0, then clip 2
    assert mask.all()


def test_augmented_passes_are_left_out(tmp_path: Path) -> None:
    clips = [Clip(features=ramp(augment), augment=augment) for augment in (0, 1)]
    samples, _ = load(tmp_path, [Video(video_id="a", clips=clips, labels={"action": 0})])
    assert samples.tracks.tolist() == [[0]]
    assert samples.values[0, 0, 0] == 0


def test_frame_labels_meet_their_steps(tmp_path: Path) -> None:
    """Every frame's label is read off the features of the step that the frame lies in."""
    tasks = {"behaviour": ["rest", "walk", "lick"]}
    rng = np.random.default_rng(0)
    videos = []
    for number in range(3):
        truth = rng.integers(0, 3, 16)  # a class for each pair of frames
        steps = np.repeat(np.eye(3)[truth][:, :, None], 2, axis=2).reshape(2, 8, 6)
        clips = [
            Clip(features={"temporal": steps[clip]}, frames=range(16 * clip, 16 * clip + 16), clip=clip)
            for clip in (0, 1)
        ]
        labels = [-1, -1, *np.repeat(truth, 2).tolist()[2:]] if number else None
        videos.append(Video(video_id=f"v{number}", clips=clips, num_frames=32, frame_labels={"behaviour": labels}))
    manifest = make_manifest(videos, tasks, frame_tasks=["behaviour"])
    task = Task(name="behaviour", classes=("rest", "walk", "lick"), per_frame=True)
    assert tasks_to_train(manifest) == (task,)
    store = make_store(
        tmp_path / "store", videos, sampling=SamplingSpec(kind="dense", num_frames=16, frame_stride=1, hop=16)
    )
    samples, coverage = read(store, manifest, [task], "temporal")
    assert (coverage.labelled, coverage.missing) == (2, 0)
    frame_labels, frame_steps = samples.frame_labels["behaviour"], samples.frames.steps[0]
    x = samples.gather(torch.arange(3)).x
    seen = x[:, 0].reshape(3, 16, 3, 2)[..., 0].argmax(dim=-1)  # (videos, steps): the class in the features
    for number in (1, 2):
        labels, steps = frame_labels[number], frame_steps[number]
        assert labels[:2].tolist() == [-1, -1]
        assert torch.equal(seen[number][steps][2:], labels[2:])
    assert (frame_labels[0] == -1).all()


def test_the_form_tells_tokens_and_their_grid(tmp_path: Path) -> None:
    clips = [Clip(features={"mean": np.zeros(3), "tokens": np.zeros((8, 4))}, clip=clip) for clip in range(2)]
    videos = [Video(video_id="a", clips=clips, labels={"action": 0})]
    manifest, dense = make_manifest(videos, TASKS), SamplingSpec(kind="dense", num_frames=16, frame_stride=1, hop=16)
    known = make_store(tmp_path / "known", videos, sampling=dense, grids={"tokens": (2, 2, 2)})
    unknown = make_store(tmp_path / "unknown", videos, sampling=dense)
    tasks = tasks_to_train(manifest, ["action"])
    for stores, pools, tokens, grid, steps in (
        ([known], ("tokens",), True, (2, 2, 2), 16),
        ([known], ("mean",), False, None, 2),
        ([unknown], ("tokens",), True, None, 16),
        ([unknown, known], ("mean", "tokens"), True, (2, 2, 2), 16),
    ):
        form = load_samples(stores, manifest, DataOptions(pools=pools, tasks=tasks), splits=["train"]).form
        assert (form.tokens, form.grid, form.num_steps) == (tokens, grid, steps)
    options = DataOptions(pools=("tokens",), tasks=tasks, pose="mouse")
    with pytest.raises(ConfigError, match="--pose needs steps in time, but pool 'tokens' has steps in space"):
        load_samples([known], manifest, options, splits=["train"])


@pytest.mark.parametrize(
    ("shapes", "asked", "options", "chosen"),
    [
        ({"mean": (4,)}, None, {}, "mean"),
        ({"mean": (4,), "temporal": (2, 4)}, None, {}, "mean"),
        ({"mean": (4,), "temporal": (2, 4)}, None, {"preferred": ["temporal"]}, "temporal"),
        ({"mean": (4,), "cls": (4,)}, None, {}, "mean"),
        ({"fc_norm": (4,)}, None, {}, "fc_norm"),
        ({"tokens": (6, 4), "mean": (4,)}, None, {}, "mean"),
        ({"mean": (4,), "temporal": (2, 4)}, "temporal", {}, "temporal"),
        ({"fc_norm": (4,), "other": (4,)}, None, {}, "has several pools: choose one with --pool: fc_norm, other"),
        ({"mean": (4,)}, "cls", {}, "pool 'cls' is not in"),
        ({"tokens": (6, 4), "mean": (4,)}, None, {"preferred": ["tokens"], "tokens": True}, "tokens"),
        ({"tokens": (6, 4), "temporal": (2, 4)}, None, {"preferred": ["tokens", "temporal"]}, "temporal"),
        ({"tokens": (6, 4), "mean": (4,)}, "tokens", {}, "pool 'tokens' has steps in space, .*readable: mean"),
    ],
)
def test_choice_of_the_pool(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], asked: str | None, options: dict[str, Any], chosen: str
) -> None:
    clip = Clip(features={pool: np.zeros(shape) for pool, shape in shapes.items()})
    store = make_store(tmp_path / "store", [Video(video_id="a", clips=[clip])])
    if chosen in shapes:
        assert choose_pool(store, asked, **options) == chosen
    else:
        with pytest.raises(ConfigError, match=chosen):
            choose_pool(store, asked, **options)


def test_mvit_prefers_its_class_token(tmp_path: Path) -> None:
    clip = Clip(features={"mean": np.zeros(4), "cls": np.zeros(4)})
    store = make_store(tmp_path / "store", [Video(video_id="a", clips=[clip])], backbone="mvit_v2_s")
    assert choose_pool(store, None) == "cls"


def test_overlapping_views_cannot_label_frames(tmp_path: Path) -> None:
    videos = [video("a", 1)]
    store = make_store(tmp_path / "store", videos, sampling=SamplingSpec(kind="views", num_frames=16, frame_stride=4))
    task = Task(name="behaviour", classes=("rest", "walk"), per_frame=True)
    with pytest.raises(ConfigError, match="is 'views', whose clips overlap"):
        read(store, make_manifest(videos, TASKS), [task])


def test_tasks_are_narrowed_by_name() -> None:
    manifest = make_manifest([video("a", 1)], TASKS)
    assert [task.name for task in tasks_to_train(manifest)] == ["action", "foul"]
    assert [task.name for task in tasks_to_train(manifest, ["foul"])] == ["foul"]
    with pytest.raises(ConfigError, match="task 'card' is not in the manifest; it has action, foul"):
        tasks_to_train(manifest, ["card"])
    with pytest.raises(RunError, match="the manifest has no labels"):
        tasks_to_train(make_manifest([video("a", 1)], {}))
    with pytest.raises(ConfigError, match=r"has 1 class\(es\); a head needs 2"):
        dataclasses.replace(tasks_to_train(manifest)[0], classes=("only",))
