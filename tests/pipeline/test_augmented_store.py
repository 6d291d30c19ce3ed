"""A store with augmented passes: grown from one pass to three, with a failure in between, beside one made at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import VideoMAEModel

from fouls.cache.store import Store
from fouls.cache.verify import verify
from fouls.errors import SpecMismatchError
from fouls.pipeline.augment_options import AugmentOptions
from fouls.pipeline.augmentation import ClipKey, random_view
from fouls.pipeline.extract import ExtractReport, plan
from fouls.pipeline.options import ExtractOptions
from fouls.pipeline.prepare import prepare
from fouls.pipeline.recompute import recompute
from fouls.video.decoders import open_video
from tests.cache.conftest import tree
from tests.media import frame_numbered_video

from .conftest import Project

NUM_VIDEOS = 4
ONE_BY_ONE = {"batch_size": 1, "precision": "fp32", "stored_dtype": "float32"}
"""A row's bits then do not depend on the rows beside it."""


def passes(count: int, **options: Any) -> AugmentOptions:
    return AugmentOptions(passes=count, **options)


@dataclass(frozen=True)
class World:
    """Stores of the same four videos."""

    project: Project
    reports: dict[str, ExtractReport]
    one_pass: dict[str, bytes]
    """The files of ``grown`` when it had one pass."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> World:
    project = Project(path=tmp_path_factory.mktemp("augmented"), weights=tiny_weights)
    for number in range(NUM_VIDEOS):
        frame_numbered_video(project.videos / f"v{number}.mp4", 12 + 5 * number)
    project.build()
    reports = {"plain": project.extract("plain", **ONE_BY_ONE)}
    reports["whole"] = project.extract("whole", augment=passes(3), decode_workers=2, block_rows=8, **ONE_BY_ONE)
    reports["one"] = project.extract("grown", augment=passes(1), **ONE_BY_ONE)
    one_pass = tree(project.store("grown").path)
    (project.videos / "v1.mp4").rename(project.path / "away.mp4")
    reports["broken"] = project.extract("grown", augment=passes(3), **ONE_BY_ONE)
    (project.path / "away.mp4").rename(project.videos / "v1.mp4")
    reports["grown"] = project.extract("grown", augment=passes(3), retry_failed=True, **ONE_BY_ONE)
    return World(project=project, reports=reports, one_pass=one_pass)


def features(store: Store) -> dict[tuple[str, int], bytes]:
    """(video, pass) → the bits of its row."""
    values = store["mean"][:]
    return {(row["video_id"], row["augment"]): values[row["row"]].tobytes() for row in store.rows().to_pylist()}


def test_every_video_has_its_passes_beside_each_other(world: World) -> None:
    report = world.reports["whole"]
    assert (report.new_rows, report.summary.done, report.summary.videos) == (4 * NUM_VIDEOS, 4 * NUM_VIDEOS, NUM_VIDEOS)
    rows = world.project.store("whole").rows()
    assert rows["augment"].to_pylist() == [0, 1, 2, 3] * NUM_VIDEOS
    assert rows["video_id"].to_pylist() == [f"v{video}" for video in range(NUM_VIDEOS) for _ in range(4)]
    assert set(rows["clip"].to_pylist()) == set(rows["crop"].to_pylist()) == {0}
    assert len({tuple(frames) for frames in rows["frame_indices"].to_pylist()[-4:]}) == 4


def test_plain_rows_are_those_of_a_plain_store_bit_for_bit(world: World) -> None:
    plain = features(world.project.store("plain"))
    augmented = features(world.project.store("whole"))
    assert {key: bits for key, bits in augmented.items() if key[1] == 0} == plain
    assert len(set(augmented.values())) == 4 * NUM_VIDEOS


def test_an_augmented_row_is_what_the_model_says_of_the_random_box(world: World) -> None:
    """Decoded, cut, resized and mirrored by hand from what the row index and the spec say."""
    import torchvision.transforms.v2.functional as F

    store = world.project.store("whole")
    model = VideoMAEModel.from_pretrained(world.project.weights).eval()
    assert store.spec.augmentation is not None
    size = store.spec.preprocessing.crop
    mean, std = (torch.tensor(getattr(store.spec.preprocessing, name)).view(3, 1, 1) for name in ("mean", "std"))
    for row in store.rows().to_pylist():
        if not row["augment"]:
            continue
        wanted = np.array(row["frame_indices"])
        with open_video(str(world.project.videos / f"{row['video_id']}.mp4")) as reader:
            read = dict(zip(np.unique(wanted).tolist(), reader.read(np.unique(wanted)), strict=True))
        frames = torch.from_numpy(np.stack([read[index] for index in wanted.tolist()])).permute(0, 3, 1, 2)
        key = ClipKey(content=row["content_hash"], segment=(None, None), clip=0, augment=row["augment"])
        (top, left, height, width), mirrored = random_view(64, 96, store.spec.augmentation, key)
        picture = F.resized_crop(frames, top, left, height, width, [size, size], antialias=True)
        picture = F.horizontal_flip(picture) if mirrored else picture
        with torch.inference_mode():
            expected = model(((picture / 255 - mean) / std)[None]).last_hidden_state.mean(1)[0]
        np.testing.assert_allclose(store["mean"][row["row"]], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_more_passes_add_rows_and_do_nothing_again(world: World) -> None:
    assert (world.reports["one"].new_rows, world.reports["broken"].new_rows) == (2 * NUM_VIDEOS, 2 * NUM_VIDEOS)
    store = world.project.store("grown")
    now = tree(store.path)
    changed = {name for name, data in world.one_pass.items() if now[name] != data}
    assert changed == {"mean/zarr.json"}  # the array has grown; no chunk, index or record of before was touched
    assert "retired" not in store.rows()["status"].to_pylist()
    assert verify(store).whole


def test_a_grown_and_retried_store_has_the_bits_of_one_made_at_once(world: World) -> None:
    assert (world.reports["broken"].summary.failed, world.reports["grown"].summary.failed) == (2, 0)
    assert features(world.project.store("grown")) == features(world.project.store("whole"))


def test_fewer_passes_than_there_are_add_nothing(world: World) -> None:
    options = world.project.options("grown", augment=passes(1), **ONE_BY_ONE)
    new, _ = plan(prepare(options))
    assert new.num_rows == 0


def test_passes_of_another_kind_are_refused_with_what_would_work(world: World) -> None:
    project = world.project
    for store, augment, message in (
        (
            "plain",
            passes(2),
            r"augmentation is None there, \{'seed': 0.*\} here\): add --out .*, or leave --augment out",
        ),
        ("whole", None, r"augmentation is \{.*\} there, None here.*or give the --augment options that"),
        ("whole", passes(2, seed=1), r"\(augmentation.seed is 0 there, 1 here\): add --out .*whole-"),
    ):
        with pytest.raises(SpecMismatchError, match=message):
            prepare(project.options(store, augment=augment, **ONE_BY_ONE))


def test_the_options_of_a_store_can_be_asked_for_again(world: World) -> None:
    """What ``fouls failures --retry`` does."""
    project = world.project
    for name in ("plain", "whole"):
        store = project.store(name)
        options = ExtractOptions.from_dict(store.made_by["options"], store=store.path, retry_failed=True)
        assert options.augment == (passes(3) if name == "whole" else None)
        assert prepare(options).spec == store.spec


def test_every_row_can_be_extracted_again(world: World) -> None:
    """Plain and augmented alike, from the row index and the spec."""
    store = world.project.store("grown")
    prepared = prepare(world.project.options("grown", augment=passes(3), **ONE_BY_ONE))
    again = recompute(store, prepared.backbone, prepared.manifest, num_rows=100, seed=0)
    assert (len(again.rows), again.differing, again.unavailable) == (4 * NUM_VIDEOS, (), {})
