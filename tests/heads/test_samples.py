"""Rows become tracks and samples; batches are padded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from fouls.heads.grouping import group_rows, pad_groups
from fouls.heads.samples import samples_from_rows
from fouls.heads.train import draw_passes


def rows_of(*keys: tuple[str, str, int, int, int]) -> pa.Table:
    """From (sample_id, video_id, view, clip, crop)."""
    names = ("sample_id", "video_id", "view", "clip", "crop")
    return pa.table(dict(zip(names, map(list, zip(*keys, strict=True)), strict=True)))


def test_pad_groups() -> None:
    padded = pad_groups(np.array([0, 0, 1, 2, 2, 2]), np.array([5, 6, 7, 8, 9, 4]))
    np.testing.assert_array_equal(padded, [[5, 6, -1], [7, -1, -1], [8, 9, 4]])


def test_views_in_any_order_become_tracks_of_their_sample() -> None:
    rows = rows_of(("b", "b/1", 1, 0, 0), ("a", "a/0", 0, 0, 0), ("b", "b/0", 0, 0, 0))
    grouping = group_rows(rows, clips_are_steps=False)
    np.testing.assert_array_equal(grouping.clips, [[[2], [0], [1]]])  # b in view 0, b in view 1, a
    np.testing.assert_array_equal(grouping.tracks, [[0, 1], [2, -1]])  # b stands first in the table


def test_clips_and_crops_are_tracks_unless_clips_are_steps() -> None:
    rows = rows_of(*(("a", "a/0", 0, clip, crop) for clip in (1, 0, 2) for crop in (0, 1)))
    separate = group_rows(rows, clips_are_steps=False)
    assert separate.clips.shape == (1, 6, 1)
    np.testing.assert_array_equal(separate.tracks, [[0, 1, 2, 3, 4, 5]])
    in_time = group_rows(rows, clips_are_steps=True)
    np.testing.assert_array_equal(in_time.clips, [[[2, 0, 4], [3, 1, 5]]])  # a track a crop, clips 0 1 2
    np.testing.assert_array_equal(in_time.tracks, [[0, 1]])


def test_gather_pads_and_masks() -> None:
    rows = rows_of(("a", "a/0", 0, 0, 0), ("a", "a/0", 0, 1, 0), ("a", "a/1", 1, 0, 0), ("b", "b/0", 0, 0, 0))
    values = np.arange(4 * 2 * 3, dtype=np.float16).reshape(4, 2, 3)  # two steps a clip
    samples = samples_from_rows(values, rows, clips_are_steps=True)
    batch = samples.gather(torch.tensor([1, 0]))
    x, mask = batch.x, batch.mask
    assert x.shape == (2, 2, 4, 3)
    assert x.dtype == torch.float32
    expected = [[[1, 1, 0, 0], [0, 0, 0, 0]], [[1, 1, 1, 1], [1, 1, 0, 0]]]
    np.testing.assert_array_equal(mask.int().numpy(), expected)
    np.testing.assert_array_equal(x[1, 0].numpy(), values[:2].reshape(4, 3))
    np.testing.assert_array_equal(x[1, 1, :2].numpy(), values[2])
    np.testing.assert_array_equal(x[0, 0, :2].numpy(), values[3])
    assert list(samples.sample_ids) == ["a", "b"]
    assert list(samples.video_ids) == ["a/0", "a/1", "b/0"]


def test_a_batch_is_as_long_as_its_longest_track() -> None:
    rows = rows_of(*(("long", "long/0", 0, clip, 0) for clip in range(9)), ("short", "short/0", 0, 0, 0))
    samples = samples_from_rows(np.zeros((10, 2, 3), np.float32), rows, clips_are_steps=True)
    assert samples.num_steps == 18
    assert samples.gather(torch.tensor([1])).x.shape == (1, 1, 2, 3)
    assert samples.gather(torch.tensor([0, 1])).x.shape == (2, 1, 18, 3)


def test_features_are_shared_by_selections() -> None:
    rows = rows_of(("a", "a/0", 0, 0, 0), ("b", "b/0", 0, 0, 0))
    samples = samples_from_rows(np.zeros((2, 1, 3), np.float16), rows, clips_are_steps=False)
    assert samples.values.dtype == torch.float16
    assert samples.select(np.array([1])).values.data_ptr() == samples.values.data_ptr()


def test_passes_are_drawn_for_each_sample_the_plain_one_too() -> None:
    rows = rows_of(*((f"s{number}", f"s{number}/0", 0, 0, 0) for number in range(300) for _ in range(3)))
    rows = rows.append_column("augment", [[0, 1, 2] * 300])
    samples = samples_from_rows(np.arange(900, dtype=np.float32).reshape(900, 1, 1), rows, clips_are_steps=False)
    assert samples.num_passes == 3
    drawn = draw_passes(samples, torch.Generator().manual_seed(0))
    assert drawn is not None
    assert torch.bincount(drawn).min() > 70
    x = samples.gather(torch.arange(300), drawn).x[:, 0, 0, 0]
    assert torch.equal(x, 3 * torch.arange(300) + drawn)
    plain = samples_from_rows(np.zeros((1, 1, 1), np.float32), rows.slice(0, 1), clips_are_steps=False)
    assert draw_passes(plain, torch.Generator()) is None


def test_where_a_pass_lacks_a_clip_the_plain_one_stands() -> None:
    rows = rows_of(("a", "a/0", 0, 0, 0), ("a", "a/0", 0, 0, 0), ("b", "b/0", 0, 0, 0), ("c", "c/0", 0, 0, 0))
    rows = rows.append_column("augment", [[0, 1, 0, 1]])  # b has no augmented pass, c no plain one
    grouping = group_rows(rows, clips_are_steps=False)
    np.testing.assert_array_equal(grouping.clips[:, :, 0], [[0, 2], [1, 2]])
    np.testing.assert_array_equal(grouping.tracks, [[0], [1]])
