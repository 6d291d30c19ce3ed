from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from fouls.cache.spec import AugmentationSpec, SamplingSpec, Spec
from fouls.errors import ConfigError

from .conftest import make_spec

AUGMENTATION = AugmentationSpec(seed=0, scale=(0.5, 1.0), ratio=(0.75, 1.25), flip=0.5, jitter="segments")


def test_the_fingerprint_of_a_plain_spec_is_what_it_always_was() -> None:
    assert make_spec().fingerprint == "104dab51cb3d05a406cd7b24e2cee4972f6e85864c0d4d65d1861c1386e4f484"


def test_an_augmented_spec_goes_through_json_and_all_of_it_counts() -> None:
    spec = make_spec(augmentation=AUGMENTATION)
    assert Spec.from_dict(json.loads(spec.canonical_json())) == spec
    changes: list[dict[str, object]] = [
        {"seed": 1},
        {"scale": (0.4, 1.0)},
        {"ratio": (0.75, 1.5)},
        {"flip": 0.0},
        {"jitter": "none"},
    ]
    changed = [replace(spec, augmentation=replace(AUGMENTATION, **change)) for change in changes]  # type: ignore[arg-type]
    assert len({spec.fingerprint, make_spec().fingerprint, *(other.fingerprint for other in changed)}) == 7
    assert spec.differences(changed[0]) == {"augmentation.seed": (0, 1)}
    assert make_spec().differences(spec) == {"augmentation": (None, spec.to_dict()["augmentation"])}


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("uniform", {"jitter": "shift", "max_shift": 8}, "'uniform' does not read jitter 'shift'"),
        ("center", {"jitter": "segments"}, "'center' does not read jitter 'segments'"),
        ("center", {"jitter": "shift"}, "jitter 'shift' needs max shift"),
        ("center", {"jitter": "none", "max_shift": 8}, "jitter 'none' does not read max shift"),
        ("stream", {"jitter": "none"}, "'stream' has no augmented passes"),
    ],
)
def test_jitter_that_makes_no_sense(kind: str, fields: dict[str, object], message: str) -> None:
    reads = {"uniform": {}, "center": {"frame_stride": 2}, "stream": {"frame_stride": 2, "hop": 8}}[kind]
    sampling = SamplingSpec(kind=kind, num_frames=4, **reads)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        make_spec(sampling=sampling, augmentation=replace(AUGMENTATION, **fields))  # type: ignore[arg-type]


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
        replace(spec, decode_resize=256),
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
