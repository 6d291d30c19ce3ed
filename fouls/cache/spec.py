"""The spec: everything that decides the value of a feature, and its fingerprint.

Pure data. What the fields do is written where it is done: sampling in ``pipeline/sampling.py``, preprocessing in
``pipeline/backbones/preprocessing.py``. The spec holds what was resolved, not what was typed; library and decoder
versions stand beside it in the store, not in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from fouls.errors import ConfigError

SamplingKind = Literal["uniform", "center", "dense", "views", "window", "stream"]
Precision = Literal["fp32", "bf16", "fp16"]
StoredDtype = Literal["float16", "float32"]


def _check_choice(name: str, value: object, allowed: object) -> None:
    choices = get_args(allowed)
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(choices)}")


def _check_positive(**values: int | float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is {value}; it must be greater than 0")


@dataclass(frozen=True, kw_only=True)
class SamplingSpec:
    """Which frames of a video make which clips. A parameter that the kind does not read is ``None``."""

    kind: SamplingKind = "uniform"
    num_frames: int
    """Frames a clip."""
    frame_stride: int | None = None
    """Native frames from one frame of the clip to the next (``center``, ``dense``, ``views``, ``stream``)."""
    hop: int | None = None
    """Native frames from the start of one clip to the start of the next (``dense``, ``stream``)."""
    num_clips: int = 1
    """Clips in time (``views``)."""
    num_crops: int = 1
    """Crops in space along the longer side: 1 (centre) or 3 (``views``)."""
    window_start: int | None = None
    """First native frame of the window (``window``)."""
    window_stop: int | None = None
    """Native frame after the last of the window (``window``)."""
    window_fps: float | None = None
    """Frames a second to which the window is thinned out; ``None`` keeps them all (``window``)."""

    def __post_init__(self) -> None:
        _check_choice("sampling", self.kind, SamplingKind)
        _check_positive(
            num_frames=self.num_frames,
            frame_stride=self.frame_stride,
            hop=self.hop,
            num_clips=self.num_clips,
            window_fps=self.window_fps,
        )
        if self.num_crops not in (1, 3):
            raise ConfigError(f"crops is {self.num_crops}; allowed: 1, 3")
        reads = {
            "uniform": set(),
            "center": {"frame_stride"},
            "dense": {"frame_stride", "hop"},
            "views": {"frame_stride"},
            "window": {"window_start", "window_stop"},
            "stream": {"frame_stride", "hop"},
        }[self.kind]
        for name in ("frame_stride", "hop", "window_start", "window_stop"):
            if (getattr(self, name) is not None) != (name in reads):
                state = "needs" if name in reads else "does not read"
                raise ConfigError(f"sampling {self.kind!r} {state} {name.replace('_', ' ')}")
        if self.window_start is not None and self.window_stop is not None:
            if not 0 <= self.window_start < self.window_stop:
                raise ConfigError(
                    f"window is {self.window_start}:{self.window_stop}; it must be START:STOP with 0 <= START < STOP"
                )
        elif self.window_fps is not None:
            raise ConfigError("fps is read by sampling 'window' only")


@dataclass(frozen=True, kw_only=True)
class PreprocessingSpec:
    """How a uint8 frame becomes the backbone's input."""

    resize: Literal["short_side", "stretch"] = "short_side"
    """``short_side`` keeps the aspect; ``stretch`` makes a square."""
    resize_to: int
    """Pixels of the short side, or of both."""
    resize_width: int | None = None
    """Pixels of the width, where ``stretch`` makes no square; ``resize_to`` is then the height."""
    crop: int
    """Pixels of the square crop."""
    crop_rounding: Literal["down", "even"] | None = None
    """Where half a pixel is left over around the centre: ``down``, or to the ``even`` number; ``None``: down with
    antialias, even without."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool
    scale: float = 1 / 255
    """Factor from uint8 to the range in which ``mean`` and ``std`` are given."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        _check_positive(resize_to=self.resize_to, crop=self.crop, scale=self.scale)
        if self.crop > self.resize_to:
            raise ConfigError(f"crop is {self.crop}; it must not be greater than resize_to, {self.resize_to}")
        if self.resize_width is not None:
            if self.resize != "stretch":
                raise ConfigError(f"resize {self.resize!r} does not read resize_width")
            if self.crop > self.resize_width:
                raise ConfigError(f"crop is {self.crop}; it must not be greater than resize_width, {self.resize_width}")


@dataclass(frozen=True, kw_only=True)
class WeightsSpec:
    """Which weights. Two copies of one checkpoint have one identity, wherever they lay."""

    sha256: str
    """SHA-256 over the loaded tensors: name, dtype, shape and bytes, in the order of the names."""
    random_seed: int | None = None
    """The seed, where the weights are made up (``--weights random:SEED``); ``None`` for a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that decides the value of a feature."""

    backbone: str
    weights: WeightsSpec
    sampling: SamplingSpec
    preprocessing: PreprocessingSpec
    pools: tuple[str, ...]
    """Sorted: the order in which they were asked for does not matter."""
    precision: Precision = "fp32"
    """Of the weights and activations in the forward pass; pools are averaged in fp32."""
    stored_dtype: StoredDtype = "float16"
    augmentation: None = None

    def __post_init__(self) -> None:
        _check_choice("precision", self.precision, Precision)
        _check_choice("dtype", self.stored_dtype, StoredDtype)
        if not self.pools or list(self.pools) != sorted(set(self.pools)):
            raise ConfigError(f"pools is {self.pools!r}; it must be a sorted tuple without repeats")

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON types (tuples are lists)."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for room, name in _LATER_FIELDS:
            if plain[room][name] is None:
                del plain[room][name]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ConfigError: a field is missing, unknown, or has a value that is not allowed.
        """
        try:
            fields = dict(plain)
            preprocessing = dict(fields["preprocessing"])
            preprocessing.update({name: tuple(preprocessing[name]) for name in ("mean", "std")})
            fields["weights"] = WeightsSpec(**fields["weights"])
            fields["sampling"] = SamplingSpec(**fields["sampling"])
            fields["preprocessing"] = PreprocessingSpec(**preprocessing)
            fields["pools"] = tuple(fields["pools"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"not a spec of this version of fouls: {error}") from error

    def canonical_json(self) -> str:
        """Sorted keys, no white space: equal specs give equal strings."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def differences(self, other: Spec) -> dict[str, tuple[Any, Any]]:
        """Dotted field → (value here, value there), for every field that differs."""
        here, there = _flatten(self.to_dict()), _flatten(other.to_dict())
        return {
            name: (here.get(name), there.get(name))
            for name in sorted(here | there)
            if here.get(name) != there.get(name)
        }


_LATER_FIELDS = [("preprocessing", "resize_width"), ("preprocessing", "crop_rounding")]
"""Fields that the first specs did not have. Where they say nothing they don't stand in the JSON, so that every
fingerprint means what it meant before."""


def _flatten(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in plain.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
