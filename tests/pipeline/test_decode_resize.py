"""``--decode-resize``: part of the spec, and respected by all that decode for a store."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision.transforms.v2.functional as F
from av.video.reformatter import Interpolation

from fouls.errors import ConfigError, SpecMismatchError
from fouls.manifests.table import read_manifest
from fouls.pipeline.extract import extract_all
from fouls.pipeline.loose import extract_loose
from fouls.pipeline.options import ExtractOptions
from fouls.pipeline.prepare import prepare, prepare_all
from fouls.pipeline.recompute import recompute
from fouls.predict import load_run_backbone
from tests.media import frame_numbered_video

from .backbones.checkpoints import tiny_checkpoint
from .conftest import Project

SCALED = {"decode_resize": 72, "precision": "fp32", "stored_dtype": "float32"}
"""Of 144 × 96; the tiny backbone resizes to 64."""


@pytest.fixture
def large(tmp_path: Path, tiny_weights: Path) -> Project:
    """Three videos that are larger than what they are scaled to."""
    made = Project(path=tmp_path, weights=tiny_weights)
    for number in range(3):
        frame_numbered_video(made.videos / f"v{number}.mp4", 18 + number, width=144, height=96)
    made.build()
    return made


def scaled_by_hand(path: Path, indices: list[int]) -> npt.NDArray[np.uint8]:
    """(T, 72, 108, 3), by swscale without a filter graph."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    scaled = [
        frames[index].reformat(108, 72, format="rgb24", interpolation=Interpolation.BILINEAR).to_ndarray()
        for index in indices
    ]
    return np.stack(scaled)


def test_features_are_those_of_the_scaled_pictures(large: Project) -> None:
    large.extract("scaled", **SCALED)
    store, backbone = large.store("scaled"), load_run_backbone(large.store("scaled"))
    for row in store.rows().to_pylist():
        frames = torch.from_numpy(scaled_by_hand(large.videos / f"{row['video_id']}.mp4", row["frame_indices"]))
        resized = F.resize(frames.permute(0, 3, 1, 2), [64, 96], antialias=True)
        pictures = F.center_crop(resized, [64, 64]).permute(0, 2, 3, 1)[None]
        expected = backbone.features(backbone.normalise(pictures), ["mean"])["mean"][0]
        torch.testing.assert_close(torch.from_numpy(store["mean"][row["row"]]), expected, atol=1e-5, rtol=0)
    large.extract("whole", **SCALED | {"decode_resize": None})
    assert np.abs(store["mean"][:] - large.store("whole")["mean"][:]).max() > 1e-4  # so that the above means something


def test_it_is_part_of_the_spec_and_asked_for_again(large: Project) -> None:
    large.extract(**SCALED)
    store = large.store()
    assert store.spec.to_dict()["decode_resize"] == 72
    options = ExtractOptions.from_dict(store.made_by["options"], store=store.path, retry_failed=True)
    assert options.decode_resize == 72
    assert large.extract(**SCALED).new_rows == 0
    with pytest.raises(SpecMismatchError, match=r"\(decode_resize is 72 there, None here\)"):
        prepare(large.options(**SCALED | {"decode_resize": None}))


def test_recomputing_and_loose_videos_scale_as_the_store_does(large: Project) -> None:
    large.extract(**SCALED)
    store, backbone = large.store(), load_run_backbone(large.store())
    found = recompute(store, backbone, read_manifest(large.path / "manifests"), num_rows=3, seed=0)
    assert (len(found.rows), found.differing, found.unavailable) == (3, (), {})
    assert found.pools["mean"].difference < 1e-5
    names = store.rows()["video_id"].to_pylist()
    loose = extract_loose([str(large.videos / f"{name}.mp4") for name in names], backbone, store.spec, "mean")
    np.testing.assert_allclose(loose.values, store["mean"][:], atol=1e-5)


def test_two_backbones_get_what_each_gets_alone(large: Project, tmp_path: Path) -> None:
    other = str(tiny_checkpoint(tmp_path / "other", num_frames=16, image_size=32))
    both = [large.options(**SCALED), large.options("other", weights=other, **SCALED)]
    extract_all(prepare_all(both))
    large.extract("alone", weights=other, **SCALED)
    np.testing.assert_array_equal(large.store("other")["mean"][:], large.store("alone")["mean"][:])
    both[1] = large.options("third", weights=other, **SCALED | {"decode_resize": 80})
    with pytest.raises(ConfigError, match="decode_resize is 72 for videomae and 80 for videomae"):
        prepare_all(both)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decode_resize": 63}, "decode resize is 63; it must be 64 at least, to which videomae"),
        ({"decode_resize": 72, "decoder": "torchcodec"}, "'torchcodec' has other pixels where it scales"),
    ],
)
def test_what_is_refused(large: Project, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(large.options(**changes))
    with pytest.raises(ConfigError, match="--decode-resize is 0; it must be above 0"):
        large.options(decode_resize=0)
