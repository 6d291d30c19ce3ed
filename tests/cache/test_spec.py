from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from fouls.cache.spec import SamplingSpec, Spec
from fouls.errors import ConfigError

from .conftest import make_spec


def test_round_trip_through_json() -> None:
    spec = make_spec(
        sampling=SamplingSpec(kind="window", num_frames=16, window_start=63, window_stop=87, window_fps=17)
    )
    assert Spec.from_dict(json.loads(spec.canonical_json())) == spec


def test_fingerprint_is_the_hash_of_the_sorted_compact_json() -> None:
    spec = make_spec()
    expected = json.dumps(spec.to_dict(), sort_keys=True, separators=(",", ":")).encode()
    assert spec.fingerprint == hashlib.sha256(expected).hexdigest()


def test_every_field_changes_the_fingerprint() -> None:
    spec = make_spec()
    changed = [
        replace(spec, backbone="videomae_large"),
        replace(spec, weights=replace(spec.weights, sha256="cd" * 32)),
        replace(spec, weights=replace(spec.weights, random_seed=None)),
        replace(spec, sampling=replace(spec.sampling, num_frames=8)),
        replace(spec, preprocessing=replace(spec.preprocessing, antialias=False)),
        replace(spec, preprocessing=replace(spec.preprocessing, resize="stretch", resize_width=256)),
        replace(spec, preprocessing=replace(spec.preprocessing, crop_rounding="even")),
        replace(spec, pools=("mean",)),
        replace(spec, precision="bf16"),
        replace(spec, stored_dtype="float32"),
    ]
    assert len({spec.fingerprint, *(other.fingerprint for other in changed)}) == len(changed) + 1


def test_fields_that_came_later_leave_older_fingerprints_as_they_were() -> None:
    spec = make_spec()
    assert not {"resize_width", "crop_rounding"} & spec.to_dict()["preprocessing"].keys()
    later = replace(spec, preprocessing=replace(spec.preprocessing, crop_rounding="down"))
    assert later.to_dict()["preprocessing"]["crop_rounding"] == "down"
    assert Spec.from_dict(later.to_dict()) == later
    assert spec.differences(later) == {"preprocessing.crop_rounding": (None, "down")}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resize_width": 300}, "'short_side' does not read resize_width"),
        ({"resize": "stretch", "resize_width": 200}, "crop is 224; it must not be greater than resize_width, 200"),
        ({"resize_to": 200}, "crop is 224; it must not be greater than resize_to, 200"),
    ],
)
def test_preprocessing_that_makes_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(make_spec().preprocessing, **fields)  # type: ignore[arg-type]


def test_differences_name_dotted_fields_and_both_values() -> None:
    here = make_spec()
    there = make_spec(sampling=SamplingSpec(kind="center", num_frames=16, frame_stride=4))
    assert here.differences(there) == {
        "sampling.frame_stride": (None, 4),
        "sampling.kind": ("uniform", "center"),
    }
    assert here.differences(here) == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "random"}, "allowed: uniform, center, dense, views, window"),
        ({"kind": "dense", "frame_stride": 4}, "'dense' needs hop"),
        ({"kind": "uniform", "frame_stride": 4}, "'uniform' does not read frame stride"),
        ({"kind": "window", "window_start": 9, "window_stop": 9}, "START:STOP"),
        ({"window_fps": 17.0}, "'window' only"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"num_crops": 2}, "allowed: 1, 3"),
    ],
)
def test_sampling_that_makes_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SamplingSpec(**({"num_frames": 16} | fields))  # type: ignore[arg-type]


def test_pools_are_sorted_and_without_repeats() -> None:
    for pools in [(), ("temporal", "mean"), ("mean", "mean")]:
        with pytest.raises(ConfigError, match="sorted tuple"):
            make_spec(pools=pools)


def test_a_foreign_dict_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a spec"):
        Spec.from_dict({"backbone": "x"})
    with pytest.raises(ConfigError, match="not a spec"):
        Spec.from_dict({**make_spec().to_dict(), "flavour": "new"})
