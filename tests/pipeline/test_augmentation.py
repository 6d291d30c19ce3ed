"""What is drawn: against the recipe of ``docs/augmentation.md``, written out a second time."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fouls.cache.spec import AugmentationSpec, SamplingSpec, Spec
from fouls.errors import ConfigError
from fouls.pipeline.augment_options import AugmentOptions
from fouls.pipeline.augmentation import ClipKey, draw, jitter_clip, random_view
from fouls.pipeline.plan import plan_rows
from fouls.pipeline.sampling import sample_clips
from tests.cache.conftest import make_spec

KEY = ClipKey(content="ab" * 32, segment=(None, None), clip=2, augment=1)
SPATIAL = AugmentationSpec(seed=7, scale=(0.3, 0.8), ratio=(0.5, 2.0), flip=0.25, jitter="none")


def keys(count: int) -> list[ClipKey]:
    return [replace(KEY, clip=clip) for clip in range(count)]


def augmented(sampling: SamplingSpec, **options: Any) -> Spec:
    return make_spec(sampling=sampling, augmentation=AugmentOptions(passes=1, **options).resolve(sampling.kind))


def test_draws_are_shake_256_of_the_key() -> None:
    digest = hashlib.shake_256(f"7/{'ab' * 32}///2/1/space".encode()).digest(24)
    expected = [(int.from_bytes(digest[8 * i : 8 * i + 8], "little") >> 11) / 2**53 for i in range(3)]
    assert draw(7, KEY, "space", 3).tolist() == expected
    assert draw(7, KEY, "space", 2).tolist() == expected[:2]


def test_everything_in_the_key_counts() -> None:
    others = [
        replace(KEY, content="cd" * 32),
        replace(KEY, segment=(0, None)),
        replace(KEY, segment=(None, 9)),
        replace(KEY, clip=1),
        replace(KEY, augment=2),
    ]
    first = {draw(7, key, "space", 1)[0] for key in (KEY, *others)}
    first |= {draw(8, KEY, "space", 1)[0], draw(7, KEY, "time", 1)[0]}
    assert len(first) == len(others) + 3


def test_draws_are_spread_evenly() -> None:
    values = np.concatenate([draw(0, key, "space", 50) for key in keys(400)])
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    assert np.abs(counts - 1000).max() < 5 * math.sqrt(1000)


def test_the_first_box_that_fits_is_taken() -> None:
    """By the recipe, with nothing but the digest."""
    height, width = 120, 200
    for key in keys(200):
        digest = hashlib.shake_256(f"7/{key.content}///{key.clip}/1/space".encode()).digest(8 * 23)
        u = [(int.from_bytes(digest[8 * i : 8 * i + 8], "little") >> 11) / 2**53 for i in range(23)]
        tries = []
        for i in range(10):
            area, ratio = (
                120 * 200 * (0.3 + 0.5 * u[3 + 2 * i]),
                0.5 * 4.0 ** u[4 + 2 * i],
            )  # 0.5 to 2, in the logarithm
            tries.append((round((area / ratio) ** 0.5), round((area * ratio) ** 0.5)))
        h, w = next(size for size in tries if size[0] <= height and size[1] <= width)
        box, mirrored = random_view(height, width, SPATIAL, key)
        assert box == (math.floor(u[1] * (height - h + 1)), math.floor(u[2] * (width - w + 1)), h, w)
        assert mirrored == (u[0] < 0.25)


def test_boxes_keep_to_their_ranges_and_reach_every_edge() -> None:
    views = [random_view(90, 160, SPATIAL, key) for key in keys(3000)]
    top, left, height, width = np.array([box for box, _ in views]).T
    assert (top.min(), left.min(), (top + height).max(), (left + width).max()) == (0, 0, 90, 160)
    area, ratio = height * width / (90 * 160), width / height
    assert 0.29 < area.min() < 0.32
    assert 0.75 < area.max() < 0.81
    assert 0.49 < ratio.min() < 0.6
    assert 1.8 < ratio.max() < 2.04
    assert np.mean([mirrored for _, mirrored in views]) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("height", "width", "ratio", "expected"),
    [
        (100, 10, (0.9, 1.1), (44, 0, 11, 10)),  # tall: the width is what there is, the height by the nearest aspect
        (10, 100, (0.9, 1.1), (0, 44, 10, 11)),
        (50, 50, (0.5, 0.5), (0, 12, 50, 25)),
    ],
)
def test_where_no_box_fits_the_centre_is_taken(
    height: int, width: int, ratio: tuple[float, float], expected: tuple[int, ...]
) -> None:
    spec = replace(SPATIAL, scale=(1.0, 1.0), ratio=ratio)
    assert {random_view(height, width, spec, key)[0] for key in keys(20)} == {expected}


def test_uniform_takes_one_frame_of_each_segment() -> None:
    spec = augmented(SamplingSpec(num_frames=4))
    (plain,) = sample_clips(10, 25.0, spec.sampling)
    seen = np.array([jitter_clip(plain, 10, 25.0, spec, key) for key in keys(400)])  # segments of 2.5 frames
    assert [set(frames.tolist()) for frames in seen.T] == [{0, 1, 2}, {2, 3, 4}, {5, 6, 7}, {7, 8, 9}]
    digest = hashlib.shake_256(f"0/{'ab' * 32}///2/1/time".encode()).digest(32)
    u = [(int.from_bytes(digest[8 * i : 8 * i + 8], "little") >> 11) / 2**53 for i in range(4)]
    assert seen[2].tolist() == [math.floor((i + u[i]) * 2.5) for i in range(4)]


def test_uniform_on_a_video_shorter_than_a_clip() -> None:
    spec = augmented(SamplingSpec(num_frames=16))
    (plain,) = sample_clips(3, 25.0, spec.sampling)
    for key in keys(50):
        frames = jitter_clip(plain, 3, 25.0, spec, key)
        assert (np.diff(frames) >= 0).all()
        assert set(frames.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("sampling", "num_frames", "starts"),
    [
        (SamplingSpec(kind="center", num_frames=3, frame_stride=2), 40, range(14, 21)),  # 17 in the plain pass
        (SamplingSpec(kind="center", num_frames=3, frame_stride=2), 8, range(4)),  # 1; the last that fits is 3
        (SamplingSpec(kind="center", num_frames=3, frame_stride=2), 4, range(1)),
        (SamplingSpec(kind="window", num_frames=4, window_start=20, window_stop=24), 60, range(17, 24)),
        (SamplingSpec(kind="window", num_frames=4, window_start=20, window_stop=24), 25, range(17, 22)),
        (SamplingSpec(kind="window", num_frames=4, window_start=1, window_stop=5), 60, range(5)),
    ],
)
def test_a_clip_begins_up_to_max_shift_frames_away_as_far_as_the_video_goes(
    sampling: SamplingSpec, num_frames: int, starts: range
) -> None:
    spec = augmented(sampling, max_shift=3)
    (plain,) = sample_clips(num_frames, 25.0, sampling)
    stride = sampling.frame_stride or 1
    counts = dict.fromkeys(starts, 0)
    for key in keys(600):
        frames = jitter_clip(plain, num_frames, 25.0, spec, key)
        expected = frames[0] + stride * np.arange(sampling.num_frames)
        assert frames.tolist() == np.minimum(expected, num_frames - 1).tolist()
        counts[int(frames[0])] += 1
    share = 600 / len(starts)
    assert max(abs(count - share) for count in counts.values()) < 5 * math.sqrt(share)


def test_a_shifted_window_is_thinned_as_the_plain_one() -> None:
    sampling = SamplingSpec(kind="window", num_frames=4, window_start=10, window_stop=20, window_fps=10.0)
    spec = augmented(sampling, max_shift=2)
    (plain,) = sample_clips(60, 25.0, sampling)
    assert plain.tolist() == [10, 13, 15, 18]
    shifts = {tuple(jitter_clip(plain, 60, 25.0, spec, key) - plain) for key in keys(60)}
    assert shifts == {(shift,) * 4 for shift in range(-2, 3)}


def test_dense_clips_that_reach_past_the_end_go_no_further() -> None:
    sampling = SamplingSpec(kind="dense", num_frames=3, frame_stride=2, hop=3)
    spec = augmented(sampling, max_shift=2)
    last = sample_clips(10, 25.0, sampling)[-1]
    assert last.tolist() == [6, 8, 9]
    starts = {int(jitter_clip(last, 10, 25.0, spec, key)[0]) for key in keys(100)}
    assert starts == {4, 5, 6}


def test_each_clip_of_each_pass_draws_for_itself_and_makes_one_crop() -> None:
    video = {"video_id": "v", "sample_id": "v", "view": 0, "content_hash": "ab" * 32, "fps": 25.0, "num_frames": 400}
    video |= {"start_frame": 100, "stop_frame": 300, "probe_error": None}
    sampling = SamplingSpec(kind="views", num_frames=8, frame_stride=4, num_clips=5, num_crops=3)
    spec = augmented(sampling)
    planned = plan_rows(pa.Table.from_pylist([video]), spec, passes=3).to_pylist()
    places = [(row["augment"], row["clip"], row["crop"]) for row in planned]
    assert places[:15] == [(0, clip, crop) for clip in range(5) for crop in range(3)]
    assert places[15:] == [(augment, clip, 0) for augment in (1, 2, 3) for clip in range(5)]
    plain = {row["clip"]: row["frame_indices"] for row in planned if row["augment"] == 0}
    shifts = {(row["augment"], row["clip"]): row["frame_indices"][0] - plain[row["clip"]][0] for row in planned[15:]}
    assert len(set(shifts.values())) > 5
    for row in planned[15:]:
        key = ClipKey(content="ab" * 32, segment=(100, 300), clip=row["clip"], augment=row["augment"])
        expected = jitter_clip(sample_clips(200, 25.0, sampling)[row["clip"]], 200, 25.0, spec, key) + 100
        assert row["frame_indices"] == expected.tolist()
        assert min(row["frame_indices"]) >= 100
        assert max(row["frame_indices"]) < 300


def test_no_jitter_leaves_the_frames_of_the_plain_pass() -> None:
    for sampling in (SamplingSpec(num_frames=4), SamplingSpec(kind="center", num_frames=4, frame_stride=2)):
        spec = augmented(sampling, max_shift=0)
        (plain,) = sample_clips(50, 25.0, sampling)
        assert jitter_clip(plain, 50, 25.0, spec, KEY).tolist() == plain.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": 0}, "--augment is 0; it must be 1 or more"),
        ({"max_shift": -1}, "--augment-shift is -1; it must be 0 or more"),
        ({"max_shift": 4}, "'uniform' takes a random frame of each segment"),
        ({"scale": (0.5, 1.5)}, "scale is 0.5:1.5; it must be MIN:MAX with 0 < MIN <= MAX <= 1"),
        ({"scale": (0.8, 0.5)}, "scale is 0.8:0.5"),
        ({"ratio": (0.0, 1.0)}, "ratio is 0:1"),
        ({"flip": 1.5}, "flip is 1.5; it must be a probability"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentOptions(**({"passes": 1} | options)).resolve("uniform")


def test_a_stream_has_no_augmented_passes() -> None:
    with pytest.raises(ConfigError, match="sampling 'stream' has no augmented passes"):
        augmented(SamplingSpec(kind="stream", num_frames=8, frame_stride=1, hop=8))
