"""The spec: everything that decides the value of a feature, and its fingerprint.

Pure data. What the fields do is written where it is done: sampling in ``pipeline/sampling.py``, preprocessing in
``pipeline/backbones/preprocessing.py``, augmentation in ``pipeline/augmentation.py``. The spec holds what was resolved,
not what was typed; library and decoder versions stand beside it in the store, not in it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from fouls.errors import ConfigError

SamplingKind = Literal["uniform", "center", "dense", "views", "window", "stream"]
Jitter = Literal["segments", "shift", "none"]
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
class AugmentationSpec:
    """How an augmented pass draws its clips. How many passes there are decides no value and does not stand here."""

    seed: int
    scale: tuple[float, float]
    """Area of the random box by that of the frame: the smallest and the largest."""
    ratio: tuple[float, float]
    """Width by height of the random box, drawn evenly in the logarithm: the smallest and the largest."""
    flip: float
    """Probability that a clip is mirrored left to right."""
    jitter: Jitter
    """In time: a random frame of each of the ``segments`` (``uniform``), a ``shift`` of the clip, or ``none``."""
    max_shift: int | None = None
    """Native frames by which a clip begins earlier or later at most (``shift``)."""

    def __post_init__(self) -> None:
        _check_choice("jitter", self.jitter, Jitter)
        if self.seed < 0:
            raise ConfigError(f"augmentation seed is {self.seed}; it must be 0 or more")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(
                f"augmentation scale is {_range(self.scale)}; it must be MIN:MAX with 0 < MIN <= MAX <= 1"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigError(f"augmentation ratio is {_range(self.ratio)}; it must be MIN:MAX with 0 < MIN <= MAX")
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"augmentation flip is {self.flip:g}; it must be a probability, 0 to 1")
        if (self.max_shift is not None) != (self.jitter == "shift"):
            raise ConfigError(
                f"jitter {self.jitter!r} {'needs' if self.max_shift is None else 'does not read'} max shift"
            )
        _check_positive(max_shift=self.max_shift)


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g}:{bounds[1]:g}"


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
    augmentation: AugmentationSpec | None = None
    """``None``: the store has the plain pass alone."""
    decode_resize: int | None = None
    """Pixels to which the short side of larger pictures is scaled as they are decoded, before ``preprocessing`` and
    ``augmentation`` see them; ``None``: they keep their size."""

    def __post_init__(self) -> None:
        _check_choice("precision", self.precision, Precision)
        _check_choice("dtype", self.stored_dtype, StoredDtype)
        if not self.pools or list(self.pools) != sorted(set(self.pools)):
            raise ConfigError(f"pools is {self.pools!r}; it must be a sorted tuple without repeats")
        if self.augmentation is not None:
            self._check_jitter(self.augmentation.jitter)
        needed = max(self.preprocessing.resize_to, self.preprocessing.resize_width or 0)
        if self.decode_resize is not None and self.decode_resize < needed:
            raise ConfigError(
                f"decode resize is {self.decode_resize}; it must be {needed} at least, to which {self.backbone} "
                "brings its frames: smaller ones would be enlarged again"
            )

    def _check_jitter(self, jitter: Jitter) -> None:
        kind = self.sampling.kind
        if kind == "stream":
            raise ConfigError("sampling 'stream' has no augmented passes: what the net remembers would mix them")
        if jitter != "none" and (jitter == "segments") != (kind == "uniform"):
            raise ConfigError(f"sampling {kind!r} does not read jitter {jitter!r}: 'segments' belongs to 'uniform'")

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON types (tuples are lists)."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for *rooms, name in _LATER_FIELDS:
            part = functools.reduce(operator.getitem, rooms, plain)
            if part[name] is None:
                del part[name]
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
            if fields.get("augmentation") is not None:
                augmentation = dict(fields["augmentation"])
                augmentation.update({name: tuple(augmentation[name]) for name in ("scale", "ratio")})
                fields["augmentation"] = AugmentationSpec(**augmentation)
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
        """Dotted field → (value here, value there), for every field that differs.

        Of a part that one of the two lacks the name stands alone, with all of the other's part.
        """
        return dict(_differences(self.to_dict(), other.to_dict()))


_LATER_FIELDS = [("preprocessing", "resize_width"), ("preprocessing", "crop_rounding"), ("decode_resize",)]
"""Fields that the first specs did not have. Where they say nothing they don't stand in the JSON, so that every
fingerprint means what it meant before."""


def _differences(
    here: Mapping[str, Any], there: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted(here.keys() | there.keys()):
        mine, other = here.get(name), there.get(name)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            yield from _differences(mine, other, f"{prefix}{name}.")
        elif mine != other:
            yield prefix + name, (mine, other)
