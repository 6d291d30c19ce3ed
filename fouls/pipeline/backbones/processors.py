"""What a checkpoint's processor says of its preprocessing (``preprocessor_config.json``), as a spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fouls.cache.spec import PreprocessingSpec
from fouls.errors import ConfigError, WeightsError
from fouls.pipeline.backbones.hub import PROCESSOR_FILES, read_json
from fouls.pipeline.backbones.weights import WeightsSource, one_line

_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # as PIL numbers them


def read_preprocessing(folder: Path, source: WeightsSource) -> PreprocessingSpec | None:
    """What the processor of a checkpoint says; ``None`` where there is none.

    Raises:
        WeightsError: it does not say all that is needed, or asks for what can't be done.
    """
    path = next((folder / name for name in PROCESSOR_FILES if (folder / name).exists()), None)
    if path is None:
        return None
    plain = read_json(path, source)
    try:
        return parse_preprocessing(plain)
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else one_line(error)
        raise WeightsError(f"weights {source.text!r}: {path} can't be followed: {what}") from error


def parse_preprocessing(plain: Mapping[str, Any]) -> PreprocessingSpec:
    """The spec of a processor of transformers.

    Args:
        plain: the processor's JSON.

    Raises:
        KeyError, TypeError, ValueError, ConfigError: it does not say all that is needed, or asks for what can't be
            done.
    """
    if not plain.get("do_resize", True):
        raise ValueError("do_resize is false; frames have to be brought to the size of the net")
    crops = plain.get("do_center_crop", "crop_size" in plain)
    size = _size(plain["size"], square=not crops)
    if crops:
        crop = _square(_size(plain["crop_size"], square=True))
    elif "shortest_edge" in size:
        raise ValueError("do_center_crop is false, but the size is of the short side only")
    else:
        crop = _square(size)
    if _class_name(plain).startswith("VJEPA2"):
        size = {"shortest_edge": int(crop * 256 / 224)}  # which that class sets, whatever stands there
    stretch = "shortest_edge" not in size
    mean, std, scale = _normalisation(plain)
    return PreprocessingSpec(
        resize="stretch" if stretch else "short_side",
        resize_to=_square(size) if stretch else int(size["shortest_edge"]),
        crop=crop,
        interpolation=_INTERPOLATIONS[plain.get("resample", 2)],  # type: ignore[arg-type]
        antialias=True,
        scale=scale,
        mean=mean,
        std=std,
    )


def _normalisation(
    plain: Mapping[str, Any],
) -> tuple[tuple[float, float, float], tuple[float, float, float], float]:
    """Mean, std, and the factor from uint8 to the range in which they are given."""
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if plain.get("do_normalize", True):
        mean, std = _three(plain["image_mean"]), _three(plain["image_std"])
    if not plain.get("do_rescale", True):
        return mean, std, 1.0
    if plain.get("offset", _class_name(plain).startswith("Vivit")):  # x · scale − 1, then mean and std
        mean = (mean[0] + 1, mean[1] + 1, mean[2] + 1)
    return mean, std, float(plain.get("rescale_factor", 1 / 255))


def _class_name(plain: Mapping[str, Any]) -> str:
    return str(plain.get("video_processor_type") or plain.get("image_processor_type") or "")


def _size(size: Any, *, square: bool) -> Mapping[str, Any]:
    """A size as JSON of today; older ones are one number, of the short side or of a square."""
    if isinstance(size, int):
        return {"height": size, "width": size} if square else {"shortest_edge": size}
    return size  # type: ignore[no-any-return]


def _square(size: Mapping[str, Any]) -> int:
    if size["height"] != size["width"]:
        raise ValueError(f"the size is {size['height']} × {size['width']}; it must be square")
    return int(size["height"])


def _three(values: Any) -> tuple[float, float, float]:
    if isinstance(values, int | float):
        return float(values), float(values), float(values)
    red, green, blue = (float(value) for value in values)
    return red, green, blue
