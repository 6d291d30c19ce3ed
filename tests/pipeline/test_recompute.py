from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fouls.cache.blocks import BlockWriter, load_done
from fouls.cache.ledger import read_record
from fouls.cache.store import Store
from fouls.cache.verify import verify
from fouls.errors import StoreError, WeightsError
from fouls.manifests.table import read_manifest
from fouls.pipeline.comparison import compare
from fouls.pipeline.recompute import Recomputation, recompute
from fouls.predict import load_run_backbone

from .backbones.checkpoints import tiny_checkpoint
from .conftest import NUM_VIDEOS, Project
from .test_streaming import STREAMING, short

__all__ = ["short"]


def again(project: Project, **options: Any) -> Recomputation:
    store = project.store()
    manifest = read_manifest(project.path / "manifests")
    settings: dict[str, Any] = {"num_rows": NUM_VIDEOS, "seed": 0} | options
    return recompute(store, load_run_backbone(store), manifest, **settings)


def overwrite(store: Store, block: int, position: int, value: float) -> None:
    """Change one number of a block as if it had been extracted so: every checksum is right."""
    record = read_record(store.path, block)
    assert record is not None
    features = load_done(store, record)
    assert features is not None
    features["mean"][position, 0] = value
    BlockWriter(store).commit(features, record)


def test_rows_that_are_what_the_backbone_says(project: Project) -> None:
    project.extract(pools=("mean", "temporal"), precision="fp32")
    found = again(project, num_rows=6, seed=3)
    assert len(set(found.rows)) == 6
    assert list(found.rows) == sorted(found.rows)
    assert (found.unavailable, found.differing, found.tolerance) == ({}, (), 2e-3)
    assert list(found.pools) == ["mean", "temporal"]
    for compared in found.pools.values():
        assert compared.cosine > 0.999999
        assert 0 < compared.relative_difference < 1e-3  # float16 on the disk
    assert again(project, num_rows=6, seed=3).rows == found.rows
    assert again(project, num_rows=6, seed=4).rows != found.rows


def test_a_wrong_value_that_every_checksum_calls_right(project: Project) -> None:
    project.extract(precision="fp32")
    store = project.store()
    true = float(store["mean"][5, 0])
    overwrite(store, 1, 1, true + 0.25)
    assert verify(store).whole
    found = again(project)
    assert (found.rows, found.differing) == (tuple(range(NUM_VIDEOS)), (5,))
    assert found.pools["mean"].difference == pytest.approx(0.25, abs=2e-3)


def test_videos_that_are_gone_or_changed_are_said(project: Project) -> None:
    project.extract()
    (project.videos / "v2.mp4").unlink()  # after the probe
    (project.videos / "v4.mp4").unlink()
    project.add_video("v4", 33)
    project.build()
    (project.videos / "v6.mp4").unlink()
    found = again(project)
    reasons = {row: reason.partition(":")[0] for row, reason in found.unavailable.items()}
    assert reasons == {
        2: "the manifest does not name its video any more",
        4: "its video has changed, or is gone, since it was extracted",
        6: "unreadable",
    }
    assert found.rows == (0, 1, 3, 5, 7, 8, 9)
    assert found.differing == ()


def test_nothing_to_compare(project: Project) -> None:
    project.extract(limit=1)
    (project.store().path / "ledger" / "00000000.json").unlink()
    with pytest.raises(StoreError, match="no done rows"):
        again(project)
    project.extract()
    for video in project.videos.iterdir():
        video.unlink()
    with pytest.raises(StoreError, match=r"not one of 10 rows of .* could be extracted again; row 0: unreadable"):
        again(project)


def test_other_weights_are_refused(project: Project) -> None:
    project.extract()
    other = tiny_checkpoint(project.path / "other", intermediate_size=48)
    with pytest.raises(WeightsError, match="are not those that filled"):
        load_run_backbone(project.store(), weights=str(other))


def test_a_row_of_a_stream_is_reached_from_the_beginning(short: Project) -> None:
    short.extract(**STREAMING)
    found = again(short, num_rows=3, seed=1)
    assert any(row not in (0, 2, 5) for row in found.rows)  # not all are the first of their video
    assert found.differing == ()
    assert max(compared.relative_difference for compared in found.pools.values()) < 1e-5


def test_compare_by_hand() -> None:
    stored = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    other = np.array([[3.0, 4.002], [0.0, 0.0], [0.0, 1.0]])
    found = compare(stored, other, np.array([7, 8, 9]), 1e-3)
    assert found.cosine == 0.0
    assert found.difference == 1.0
    assert found.relative_difference == 1.0
    assert found.differing == (9,)
    assert compare(stored[:1], other[:1], np.array([7]), 1e-3).relative_difference == pytest.approx(0.002 / 4.002)
    assert compare(stored[:1], other[:1] * np.nan, np.array([7]), 1e-3).differing == (7,)


def test_to_dict_is_json(project: Project) -> None:
    project.extract(limit=2)
    plain = again(project).to_dict()
    assert plain["rows"] == (0, 1)
    assert set(plain["pools"]["mean"]) == {"cosine", "difference", "relative_difference", "differing"}
    assert pa.array([plain["tolerance"]]).type == pa.float64()
